// Run by sqlite-store.test.ts in a process of its own: writes for ever and prints each key with its revision once it is acknowledged.
import { openSqliteStore } from './sqlite-store.ts';

const store = await openSqliteStore({ path: process.argv[2] ?? '' });
await Promise.all(
  Array.from({ length: 4 }, async (_, writer) => {
    for (let n = 0; ; n++) {
      const item = await store.create(`/k/${writer}-${n}`, 'x'.repeat(200));
      process.stdout.write(`${item.key} ${item.modRevision};\n`);
    }
  }),
);
