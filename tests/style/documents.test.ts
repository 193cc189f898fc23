import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const tracked = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '');
const pages = tracked.filter((path) => path.endsWith('.md'));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Relative links of a page, as paths from the root. */
function linksOf(page: string): readonly string[] {
  return [...read(page).matchAll(/\]\(([^)\s#]+)(#[^)]*)?\)/g)]
    .map((match) => match[1]!)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => normalize(join(dirname(page), target)));
}

describe('documents', () => {
  it.each(pages)('%s: links lead somewhere, one first heading', (page) => {
    expect(linksOf(page).filter((target) => !existsSync(join(root, target)))).toEqual([]);
    const text = read(page).replace(/```[\s\S]*?```/g, '');
    expect(text.split('\n').filter((line) => line.startsWith('# ')).length).toBe(1);
  });

  it('every page below docs/ is reachable from the README', () => {
    const seen = new Set<string>();
    const visit = (page: string): void => {
      if (seen.has(page) || !page.endsWith('.md') || !existsSync(join(root, page))) return;
      seen.add(page);
      for (const link of linksOf(page)) {
        visit(link);
        // A link to a folder shows all of it.
        for (const inside of pages)
          if (link !== '.' && inside.startsWith(`${link.replace(/\/$/, '')}/`)) visit(inside);
      }
    };
    visit('README.md');
    expect(pages.filter((page) => page.startsWith('docs/') && !seen.has(page))).toEqual([]);
  });
});

describe('sources', () => {
  const sources = tracked.filter(
    (path) =>
      /\.(ts|mjs|c|h|sh)$/.test(path) && !path.startsWith('proto/generated') && existsSync(join(root, path)),
  );

  it('hold no unfinished business', () => {
    const marks = new RegExp(['TO' + 'DO', 'FIX' + 'ME', '\\b' + 'X' + 'XX' + '\\b'].join('|'));
    expect(sources.filter((path) => marks.test(read(path)))).toEqual([]);
  });

  it('no test is switched off', () => {
    const off = new RegExp('\\b(describe|it|test)\\.(' + 'skip|only|to' + 'do)\\(');
    expect(sources.filter((path) => path.endsWith('.test.ts') && off.test(read(path)))).toEqual([]);
  });
});
