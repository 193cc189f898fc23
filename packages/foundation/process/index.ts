export { run, runText, type RunOptions, type RunResult } from './run.ts';
export { isAlive, killProcess, startTimeOf, type ProcessIdentity } from './identity.ts';
export { spawnDetached, type DetachedOptions } from './detached.ts';
export { spawnChild, type ChildProcess } from './child.ts';
