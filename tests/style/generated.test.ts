import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

function filesBelow(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    names.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length), readFileSync(path, 'utf8')];
    }),
  );
}

it('proto/generated is what the contracts generate', () => {
  const fresh = mkdtempSync(join(tmpdir(), 'hn-proto-'));
  try {
    execFileSync(join(root, 'tools', 'generate-proto.sh'), [fresh], { cwd: root, stdio: 'pipe' });
    // The first lines name the versions of the generator and of protoc, which differ from machine to machine.
    const body = (text: string): string => text.replace(/^\/\/ .*\n/gm, '');
    const [expected, committed] = [filesBelow(fresh), filesBelow(join(root, 'proto', 'generated'))];
    expect([...committed.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, text] of expected) expect(body(committed.get(name)!), name).toBe(body(text));
  } finally {
    rmSync(fresh, { recursive: true });
  }
}, 60_000);
