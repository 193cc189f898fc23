export { startScheduler, type SchedulerOptions } from './scheduler.ts';
export { tolerates } from './taints.ts';
