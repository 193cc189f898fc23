import type { Namespace, Secret } from 'kubernetes-types/core/v1';
import type { ApiObject } from '../../api/index.ts';
import { fromCoreEvent, toCoreEvent } from './event-form.ts';
import { makeNetworkStrategy } from './network-strategy.ts';
import { podStrategy } from './pod.ts';
import { makeServiceStrategy } from './service.ts';
import type { Strategy } from './strategy.ts';

export interface StrategyOptions {
  readonly serviceCidr: string;
  /** All objects of a kind (version v1) as they are now. */
  readonly list: (group: string, plural: string) => Promise<readonly ApiObject[]>;
}

const namespaceFinalizer = 'kubernetes';
const nameLabel = 'kubernetes.io/metadata.name';

function labelWithName(object: ApiObject): void {
  object.metadata.labels = { ...object.metadata.labels, [nameLabel]: object.metadata.name ?? '' };
}

const namespaceStrategy: Strategy = {
  prepareForCreate: (object) => {
    labelWithName(object);
    object['spec'] = { ...(object['spec'] as object | undefined), finalizers: [namespaceFinalizer] };
    object['status'] = { phase: 'Active' };
  },
  // Finalizers of a namespace are taken off through its finalize subresource only.
  prepareForUpdate: (object, old) => {
    labelWithName(object);
    const { finalizers } = (old as unknown as Namespace).spec ?? {};
    const { finalizers: _wanted, ...rest } = (object as unknown as Namespace).spec ?? {};
    object['spec'] = { ...rest, ...(finalizers === undefined ? {} : { finalizers }) };
  },
  beginDeletion: (object) => {
    object['status'] = { ...(object['status'] as object | undefined), phase: 'Terminating' };
  },
  holdsBack: (object) => ((object as unknown as Namespace).spec?.finalizers ?? []).length > 0,
};

function mergeStringData(object: ApiObject): void {
  const secret = object as unknown as Secret;
  const { stringData } = secret;
  delete object['stringData'];
  if (stringData === undefined) return;
  const encoded = Object.entries(stringData).map(([key, value]) => [
    key,
    Buffer.from(value, 'utf8').toString('base64'),
  ]);
  object['data'] = { ...secret.data, ...(Object.fromEntries(encoded) as Record<string, string>) };
}

const secretStrategy: Strategy = { prepareForCreate: mergeStringData, prepareForUpdate: mergeStringData };

const jobLabels = ['batch.kubernetes.io/controller-uid', 'controller-uid'] as const;
const jobNameLabels = ['batch.kubernetes.io/job-name', 'job-name'] as const;

interface JobShape {
  spec?: {
    manualSelector?: boolean;
    selector?: { matchLabels?: Record<string, string> };
    template?: { metadata?: { labels?: Record<string, string> } };
  };
}

// A Job selects its pods by its own uid, so that no two Jobs meet.
const jobStrategy: Strategy = {
  prepareForCreate: (object) => {
    const { spec } = object as JobShape;
    if (spec?.template === undefined || spec.manualSelector === true) return;
    const uid = object.metadata.uid ?? '';
    const own = Object.fromEntries([
      ...jobLabels.map((label) => [label, uid]),
      ...jobNameLabels.map((label) => [label, object.metadata.name ?? '']),
    ]) as Record<string, string>;
    spec.selector = { matchLabels: { [jobLabels[0]]: uid } };
    spec.template.metadata = {
      ...spec.template.metadata,
      labels: { ...spec.template.metadata?.labels, ...own },
    };
  },
  countsGenerations: true,
};

function withFirstStatus(status: Record<string, unknown>, more: Strategy = {}): Strategy {
  return {
    ...more,
    prepareForCreate: (object) => {
      object['status'] = structuredClone(status);
    },
  };
}

const counted: Strategy = { countsGenerations: true };
const upsert: Strategy = { createOnUpdate: true };
const rbac = 'rbac.authorization.k8s.io';

/** What is particular to kinds; those absent follow the conventions alone. */
export function makeStrategies(options: StrategyOptions): Readonly<Record<string, Strategy>> {
  return {
    '/endpoints': upsert,
    '/events': upsert,
    '/namespaces': namespaceStrategy,
    '/networks': makeNetworkStrategy(options.serviceCidr),
    '/nodes': { keepStatusOnCreate: true, metadataThroughStatus: true },
    '/persistentvolumeclaims': withFirstStatus({ phase: 'Pending' }, { answersDeleted: true }),
    '/persistentvolumes': withFirstStatus({ phase: 'Pending' }, { answersDeleted: true }),
    '/pods': podStrategy,
    '/replicationcontrollers': withFirstStatus({ replicas: 0 }, counted),
    '/resourcequotas': { answersDeleted: true },
    '/secrets': secretStrategy,
    '/serviceaccounts': { answersDeleted: true },
    '/services': makeServiceStrategy(options.serviceCidr, async () => options.list('', 'services')),
    'apps/daemonsets': withFirstStatus(
      { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 },
      counted,
    ),
    'apps/deployments': withFirstStatus({}, counted),
    'apps/replicasets': withFirstStatus({ replicas: 0 }, counted),
    'apps/statefulsets': withFirstStatus({ replicas: 0, availableReplicas: 0 }, counted),
    'batch/cronjobs': withFirstStatus({}, counted),
    'batch/jobs': jobStrategy,
    'coordination.k8s.io/leases': { createOnUpdate: true, versionRequiredOnUpdate: true },
    'discovery.k8s.io/endpointslices': { countsGenerations: true, createOnUpdate: true },
    'events.k8s.io/events': {
      createOnUpdate: true,
      stored: { toStored: toCoreEvent, fromStored: fromCoreEvent },
    },
    'networking.k8s.io/ingresses': counted,
    'networking.k8s.io/networkpolicies': counted,
    'policy/poddisruptionbudgets': counted,
    [`${rbac}/clusterrolebindings`]: upsert,
    [`${rbac}/clusterroles`]: upsert,
    [`${rbac}/rolebindings`]: upsert,
    [`${rbac}/roles`]: upsert,
  };
}
