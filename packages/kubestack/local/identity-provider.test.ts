import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { identityProviderConformance } from '../provider-api/conformance/index.ts';
import { StateDatabase } from '../state/index.ts';
import { LocalIdentityProvider } from './identity-provider.ts';

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'kubestack-identity-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('local', () => {
  identityProviderConformance(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kubestack-identity-'));
    let database = new StateDatabase(folder);
    return {
      provider: new LocalIdentityProvider({ database }),
      restart: async () => {
        database[Symbol.dispose]();
        database = new StateDatabase(folder);
        return await Promise.resolve(new LocalIdentityProvider({ database }));
      },
      [Symbol.asyncDispose]: async () => {
        database[Symbol.dispose]();
        await rm(folder, { recursive: true, force: true });
      },
    };
  });
});

describe('LocalIdentityProvider', () => {
  it('refuses a token from its expiry on, and forgets it later', async () => {
    await inFolder(async (folder) => {
      using database = new StateDatabase(folder);
      let nowMs = 1_000_000_000_000;
      const provider = new LocalIdentityProvider({ database, clock: { now: () => nowMs } });
      const { id } = await provider.createTenant({ id: '', name: 'acme' });
      const { token } = await provider.issueToken({
        tenantId: id,
        userName: 'ada',
        roles: [],
        lifetimeS: 10,
      });
      nowMs += 9_999;
      expect((await provider.authenticateToken(token)).userName).toBe('ada');
      nowMs += 1;
      await expect(provider.authenticateToken(token)).rejects.toMatchObject({ reason: 'Unauthenticated' });
      await provider.issueToken({ tenantId: id, userName: 'bob', roles: [], lifetimeS: 10 });
      expect(database.all('SELECT hash FROM tokens')).toHaveLength(1);
    });
  });

  it('keeps no token on disk', async () => {
    await inFolder(async (folder) => {
      using database = new StateDatabase(folder);
      const provider = new LocalIdentityProvider({ database });
      const { id } = await provider.createTenant({ id: '', name: 'acme' });
      const { token } = await provider.issueToken({
        tenantId: id,
        userName: 'ada',
        roles: [],
        lifetimeS: 10,
      });
      for (const file of ['state.db', 'state.db-wal']) {
        const bytes = await readFile(join(folder, 'kubestack', file));
        expect(bytes.includes(token.slice(4, 24))).toBe(false);
      }
    });
  });
});

describe('StateDatabase', () => {
  it('is open in one place at a time', async () => {
    await inFolder(async (folder) => {
      using _first = new StateDatabase(folder);
      expect(() => new StateDatabase(folder)).toThrow(/another kubestackd/);
      await Promise.resolve();
    });
  });
});
