import { readFileSync } from 'node:fs';
import { startKubestackd, type KubestackdOptions } from '../server/index.ts';

// For tests: kubestackd as a process of its own, which can be killed. Options come as JSON on standard input.
const options = JSON.parse(readFileSync(0, 'utf8')) as KubestackdOptions;
await startKubestackd(options);
process.stdout.write('ready\n');
