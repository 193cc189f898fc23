import { describe, expect, test } from 'vitest';
import { LayerPlanner, splitMemberName, type LayerPlan } from './layer-plan.ts';
import type { TarEntry } from './tar-entry.ts';

type Given = Partial<TarEntry> & Pick<TarEntry, 'name'>;

function entry(given: Given): TarEntry {
  return {
    kind: given.name.endsWith('/') ? 'directory' : 'file',
    linkName: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: 0,
    modifiedAt: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    ...given,
  };
}

function plan(...given: Given[]): LayerPlan {
  const planner = new LayerPlanner();
  for (const one of given) planner.add(entry(one));
  return planner.finish();
}

/** "kind name" of everything, contents as "file@<place in the archive> names". */
function summary(result: LayerPlan): string[] {
  const marks = (one: TarEntry): string =>
    one.xattrs.get('trusted.overlay.opaque')?.toString() === 'y' ? ' opaque' : '';
  return [
    ...result.entries.map(
      (one) => `${one.kind} ${one.name}${marks(one)}${one.linkName && ` -> ${one.linkName}`}`,
    ),
    ...[...result.files].map(([index, file]) => `file@${index} ${file.names.join(' ')}`),
  ].sort();
}

const link = (name: string, linkName: string): Given => ({ name, kind: 'link', linkName });
const symlink = (name: string, linkName: string): Given => ({ name, kind: 'symlink', linkName });

test.each<[string, Given[], string[]]>([
  ['files and directories', [{ name: 'a/' }, { name: 'a/b' }], ['directory a/', 'file@1 a/b']],
  ['missing parents are made', [{ name: 'a/b/c' }], ['directory a/', 'directory a/b/', 'file@0 a/b/c']],
  [
    'absolute and dotted names',
    [{ name: '/x' }, { name: './y' }, { name: 'a/../z' }, { name: './' }],
    ['file@0 x', 'file@1 y', 'file@2 z'],
  ],
  ['whiteout', [{ name: 'a/' }, { name: 'a/.wh.gone' }], ['characterDevice a/gone', 'directory a/']],
  [
    'opaque, marker after the directory',
    [{ name: 'a/' }, { name: 'a/.wh..wh..opq' }],
    ['directory a/ opaque'],
  ],
  [
    'other bookkeeping is dropped',
    [{ name: '.wh..wh.plnk/x' }, { name: '.wh..wh.aufs' }],
    ['directory .wh..wh.plnk/', 'file@0 .wh..wh.plnk/x'],
  ],
  ['whiteout of a file the layer brings', [{ name: 'f' }, { name: '.wh.f' }], ['file@0 f']],
  ['whiteout of a directory the layer brings', [{ name: '.wh.d' }, { name: 'd/' }], ['directory d/ opaque']],
  ['the last of two equal names wins', [{ name: 'f' }, { name: 'f' }], ['file@1 f']],
  [
    'a directory again keeps its children',
    [{ name: 'd/' }, { name: 'd/f' }, { name: 'd/' }],
    ['directory d/', 'file@1 d/f'],
  ],
  [
    'a file replaces a directory',
    [{ name: 'd/' }, { name: 'd/f' }, { name: 'd', kind: 'file' }],
    ['file@2 d'],
  ],
  ['hard links', [{ name: 'f' }, link('g', '/f'), link('h', 'g')], ['file@0 f g h']],
  [
    'a hard link outlives its target name',
    [{ name: 'f' }, link('g', 'f'), { name: 'f' }],
    ['file@0 g', 'file@2 f'],
  ],
  ['hard link to a symbolic link', [symlink('s', 'x'), link('t', 's')], ['link t -> s', 'symlink s -> x']],
  [
    'through a symbolic link',
    [{ name: 'usr/lib/' }, symlink('lib', 'usr/lib'), { name: 'lib/x' }],
    ['directory usr/', 'directory usr/lib/', 'file@2 usr/lib/x', 'symlink lib -> usr/lib'],
  ],
  [
    'a symbolic link cannot leave the layer',
    [symlink('l', '../../../etc'), { name: 'l/x' }],
    ['directory etc/', 'file@1 etc/x', 'symlink l -> ../../../etc'],
  ],
  [
    'an absolute symbolic link starts at the layer',
    [symlink('a', '/b'), { name: 'a/x' }],
    ['directory b/', 'file@1 b/x', 'symlink a -> /b'],
  ],
])('%s', (_title, given, expected) => {
  expect(summary(plan(...given))).toEqual(expected.toSorted());
});

test.each<[string, Given[]]>([
  ['leaves the layer', [{ name: '../etc/passwd' }]],
  ['leaves the layer further in', [{ name: 'a/../../b' }]],
  ['a component that is too long', [{ name: 'x'.repeat(256) }]],
  ['a name that is too long', [{ name: 'x/'.repeat(3000) }]],
  ['hard link to nothing', [link('a', 'b')]],
  ['hard link to a directory', [{ name: 'b/' }, link('a', 'b')]],
  ['hard link that leaves the layer', [link('a', '../b')]],
  ['child of a file', [{ name: 'f' }, { name: 'f/x' }]],
  ['a loop of symbolic links', [symlink('a', 'b'), symlink('b', 'a'), { name: 'a/x' }]],
  ['whiteout of nothing', [{ name: '.wh.' }]],
  ['whiteout of the parent', [{ name: 'a/.wh...' }]],
])('refused: %s', (_title, given) => {
  expect(() => plan(...given)).toThrow(expect.objectContaining({ reason: 'Invalid' }));
});

describe('extended attributes', () => {
  const xattrs = new Map([
    ['security.capability', Buffer.from([1, 0, 0, 2, 0xff])],
    ['trusted.overlay.redirect', Buffer.from('/etc')],
    ['trusted.overlay.opaque', Buffer.from('y')],
    ['system.posix_acl_access', Buffer.from('x')],
    ['user.', Buffer.from('x')],
  ]);

  test('the overlay’s own are never taken from an image', () => {
    const [directory] = plan({ name: 'd/', xattrs }).entries;
    expect([...directory!.xattrs.keys()]).toEqual(['security.capability']);
    expect(directory!.xattrs.get('security.capability')).toEqual(Buffer.from([1, 0, 0, 2, 0xff]));
  });
});

test('parents come before their children', () => {
  const { entries } = plan({ name: 'a/b/c/' }, { name: 'a/d/' }, { name: 'a/b/.wh.x' });
  const seen = new Set(['']);
  for (const { name } of entries) {
    const parent = name.replace(/\/$/, '').replace(/[^/]*$/, '');
    expect(seen).toContain(parent);
    seen.add(name);
  }
});

test('deep nesting does not exhaust the stack', () => {
  expect(plan({ name: 'd/'.repeat(2000) }).entries).toHaveLength(2000);
});

test('splitMemberName', () => {
  expect(splitMemberName('//a/./b/')).toEqual(['a', 'b']);
});
