import { isPlatformError } from '@hypernetes/foundation/errors';
import {
  WorkQueue,
  type Clock,
  type Reconcile,
  type WorkQueueOptions,
} from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import type { EventRecorder, KubeClient, Status } from '../../client/index.ts';
import type { InformerSet } from './informer-set.ts';
import type { Kubestack } from './kubestack.ts';

const log = createLogger('kubernetes:controllers');

/** What every controller is given. */
export interface ControllerContext {
  readonly client: KubeClient;
  readonly informers: InformerSet;
  readonly kubestack: Kubestack;
  readonly clock: Clock;
  /** Resolves when all informers have their first list: nobody acts before. */
  readonly ready: Promise<void>;
  /** The recorder whose events come from this component ('deployment-controller'). */
  recorder(component: string): EventRecorder;
}

/** A running controller. Disposing of it waits for the work at hand. */
export type Controller = AsyncDisposable;

/** A work queue that holds its keys back until all informers are in, and logs failures once, by how grave they are. */
export function createQueue(
  context: Pick<ControllerContext, 'ready'>,
  name: string,
  reconcile: Reconcile,
  options: WorkQueueOptions = {},
): WorkQueue {
  return new WorkQueue(
    async (key, signal) => {
      await context.ready;
      try {
        return await reconcile(key, signal);
      } catch (error) {
        // Nothing more can be made in a namespace that goes; what was there goes with it.
        if (isNamespaceTerminating(error)) return undefined;
        throw error;
      }
    },
    {
      ...options,
      onError: (key, error, attempt) => {
        const fields = {
          controller: name,
          object: key,
          reason: error.reason,
          message: error.message,
          attempt,
        };
        // Conflict: our copy is old. NotFound, Unavailable: the other side is on its way. None of it is wrong unless it lasts.
        const passing = ['Conflict', 'NotFound', 'Unavailable'].includes(error.reason) && attempt < 5;
        if (error.reason === 'Canceled' || passing) log.debug(fields, 'sync again');
        else if (error.reason === 'Internal') log.error({ ...fields, err: error }, 'sync failed');
        else log.warn(fields, 'sync failed');
      },
    },
  );
}

function isNamespaceTerminating(error: unknown): boolean {
  if (!isPlatformError(error, 'Forbidden')) return false;
  const status = error.details['status'] as Status | undefined;
  return status?.details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true;
}
