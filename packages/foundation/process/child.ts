// The one place outside this folder's helpers where a long-lived child with pipes is made.
export { spawn as spawnChild, type ChildProcess } from 'node:child_process';
