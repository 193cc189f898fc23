export { DisposalStack } from './disposal-stack.ts';
export { systemClock, type Clock } from './clock.ts';
export { backoffDelayMs, retry, sleep, waitFor, withDeadline } from './waiting.ts';
export { KeyedMutex } from './keyed-mutex.ts';
export { WorkQueue, type Reconcile, type WorkQueueOptions } from './work-queue.ts';
export { onShutdown } from './shutdown.ts';
