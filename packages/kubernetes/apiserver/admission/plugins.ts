import type { ApiObject } from '../../api/index.ts';
import type { Authorizer } from '../authorization/authorizer.ts';
import type { AdmissionPlugin } from './admission.ts';
import { externalAddresses } from './external-addresses.ts';
import { namespaceLifecycle, type FindObject } from './namespace-lifecycle.ts';
import { podNetwork } from './pod-network.ts';
import { defaultTolerations, hostIsolation } from './pod-policy.ts';
import { priority } from './priority.ts';
import { rbacEscalation } from './rbac-escalation.ts';
import { serviceAccount } from './service-account.ts';
import { tenantGuard } from './tenant-guard.ts';

export interface AdmissionOptions {
  readonly find: FindObject;
  readonly listPods: (namespace: string) => Promise<readonly ApiObject[]>;
  readonly listPriorityClasses: () => Promise<readonly ApiObject[]>;
  readonly authorizer: Authorizer;
}

/** The rules every write passes, in order. Cheap refusals come before what waits. */
export function makeAdmissionPlugins(options: AdmissionOptions): AdmissionPlugin[] {
  return [
    namespaceLifecycle(options.find),
    tenantGuard(options),
    podNetwork(options.find),
    externalAddresses(options.find),
    hostIsolation,
    serviceAccount(options.find),
    priority(options.listPriorityClasses),
    defaultTolerations,
    rbacEscalation(options.authorizer),
  ];
}
