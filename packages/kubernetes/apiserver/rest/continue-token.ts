import { badRequest } from '../../api/index.ts';

/** Where a list in pages goes on. */
export interface ContinueToken {
  /** The list is of this revision, on every page. */
  readonly revision: number;
  /** Last key of the page before. */
  readonly startAfterKey: string;
}

const version = 'meta.k8s.io/v1';

export function formatContinueToken(token: ContinueToken): string {
  const text = JSON.stringify({ v: version, rv: token.revision, start: token.startAfterKey });
  return Buffer.from(text, 'utf8').toString('base64url');
}

/** 400 for anything that is not a token of this list. */
export function parseContinueToken(text: string, prefix: string): ContinueToken {
  const wrong = (why: string): Error => badRequest(`continue key is not valid: ${why}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    throw wrong('not a token of this server');
  }
  if (typeof parsed !== 'object' || parsed === null) throw wrong('not a token of this server');
  const { v, rv, start } = parsed as Record<string, unknown>;
  if (v !== version || typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv < 0) {
    throw wrong(`incorrect encoding of the version`);
  }
  if (typeof start !== 'string' || !start.startsWith(prefix)) throw wrong('it is of another list');
  return { revision: rv, startAfterKey: start };
}
