import { PlatformError } from '@hypernetes/foundation/errors';
import type { TarEntry } from './tar-entry.ts';

const entriesMax = 1_000_000;
const pathLengthMax = 4095;
const nameLengthMax = 255;
const symlinksFollowedMax = 40;
const xattrBytesMax = 64 << 10;

/** A file's content goes under every one of these names: the first is the file, the others hard links to it. */
export interface PlannedFile {
  readonly names: readonly string[];
}

/** What a layer's block image shall hold. Paths are relative, byte strings, without a leading slash. */
export interface LayerPlan {
  /** Everything without content, parents first: directories, links, devices, whiteouts; hard links follow what they link to. */
  readonly entries: readonly TarEntry[];
  /** Regular files by their place in the archive (counting all its members from 0). */
  readonly files: ReadonlyMap<number, PlannedFile>;
}

interface Directory {
  readonly kind: 'directory';
  readonly children: Map<string, Node>;
  /** Names removed from the layers below. */
  readonly whiteouts: Set<string>;
  opaque: boolean;
  entry: TarEntry;
}

interface Leaf {
  readonly kind: 'leaf';
  readonly index: number;
  readonly entry: TarEntry;
}

type Node = Directory | Leaf;

const noXattrs: ReadonlyMap<string, Buffer> = new Map();
const opaqueXattr = new Map([['trusted.overlay.opaque', Buffer.from('y')]]);

function blank(kind: TarEntry['kind'], name: string, mode: number): TarEntry {
  return {
    kind,
    name,
    linkName: '',
    mode,
    uid: 0,
    gid: 0,
    sizeBytes: 0,
    modifiedAt: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: noXattrs,
  };
}

function newDirectory(entry: TarEntry): Directory {
  return { kind: 'directory', children: new Map(), whiteouts: new Set(), opaque: false, entry };
}

function show(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8').slice(0, 200));
}

function invalid(name: string, why: string): PlatformError {
  return new PlatformError('Invalid', `layer member ${show(name)}: ${why}`);
}

/** Components of a member's name: absolute names are taken from the root of the layer, those that leave it are refused. */
export function splitMemberName(name: string): readonly string[] {
  if (name.length > pathLengthMax || name.includes('\0')) throw invalid(name, 'the name is too long');
  const components: string[] = [];
  for (const component of name.split('/')) {
    if (component === '' || component === '.') continue;
    if (component === '..') {
      if (components.pop() === undefined) throw invalid(name, 'the name leaves the layer');
    } else if (component.length > nameLengthMax) throw invalid(name, 'a part of the name is too long');
    else components.push(component);
  }
  return components;
}

/** Attributes a layer may carry: the overlay's own would let an image redirect lookups, and squashfs has no other name spaces. */
function allowedXattrs(entry: TarEntry): ReadonlyMap<string, Buffer> {
  if (entry.xattrs.size === 0) return noXattrs;
  const kept = new Map<string, Buffer>();
  for (const [name, value] of entry.xattrs) {
    const known = /^(?:user|security|trusted)\../.test(name) && !name.startsWith('trusted.overlay.');
    if (known && !name.includes('=') && name.length <= nameLengthMax && value.length <= xattrBytesMax) {
      kept.set(name, value);
    }
  }
  return kept;
}

function isWhiteout(name: string): boolean {
  return name.startsWith('.wh.');
}

/**
 * Decides what a layer archive becomes as an overlay layer (image-spec layer.md): whiteouts, members that replace earlier ones, links that
 * go through links. Pure: add() every member in order, then finish().
 */
export class LayerPlanner {
  readonly #root = newDirectory(blank('directory', '', 0o755));
  #count = 0;

  add(entry: TarEntry): void {
    const index = this.#count++;
    if (this.#count > entriesMax) throw invalid(entry.name, `a layer may have ${entriesMax} members`);
    const path = splitMemberName(entry.name);
    const base = path.at(-1);
    if (base === undefined) return; // the root itself: its attributes are those of the writable layer
    const parent = this.#directoryAt(path.slice(0, -1), entry.name);
    if (isWhiteout(base)) this.#addWhiteout(parent, base, entry.name);
    else if (entry.kind === 'directory') this.#addDirectory(parent, base, entry);
    else if (entry.kind === 'link') parent.children.set(base, this.#linkTarget(entry));
    else parent.children.set(base, { kind: 'leaf', index, entry });
  }

  finish(): LayerPlan {
    const entries: TarEntry[] = [];
    const names = new Map<Leaf, string[]>();
    collect(this.#root, '', entries, names);
    const files = new Map<number, PlannedFile>();
    for (const [leaf, paths] of names) {
      if (leaf.entry.kind === 'file') files.set(leaf.index, { names: paths });
      else entries.push(...leafEntries(leaf.entry, paths));
    }
    return { entries, files };
  }

  #addWhiteout(parent: Directory, base: string, name: string): void {
    if (base === '.wh..wh..opq') parent.opaque = true;
    if (base.startsWith('.wh..wh.')) return; // bookkeeping of the file system the format comes from
    const removed = base.slice('.wh.'.length);
    if (removed === '' || removed === '.' || removed === '..')
      throw invalid(name, 'a whiteout without a name');
    parent.whiteouts.add(removed);
  }

  #addDirectory(parent: Directory, base: string, entry: TarEntry): void {
    const there = parent.children.get(base);
    if (there?.kind === 'directory') there.entry = entry;
    else parent.children.set(base, newDirectory(entry));
  }

  #linkTarget(entry: TarEntry): Leaf {
    const path = splitMemberName(entry.linkName);
    const base = path.at(-1);
    const target =
      base === undefined ? undefined : this.#directoryAt(path.slice(0, -1), entry.name).children.get(base);
    if (target?.kind !== 'leaf')
      throw invalid(entry.name, `hard link to ${show(entry.linkName)}, which is no file`);
    return target;
  }

  /** The directory at a path, made where it is missing; symbolic links of this layer are followed inside the layer's root. */
  #directoryAt(path: readonly string[], name: string): Directory {
    let followed = 0;
    const rest = [...path];
    let trail: Directory[] = [this.#root];
    for (let component = rest.shift(); component !== undefined; component = rest.shift()) {
      const here = trail.at(-1) ?? this.#root;
      if (component === '' || component === '.') continue;
      if (component === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const next = here.children.get(component) ?? newDirectory(blank('directory', '', 0o755));
      if (next.kind === 'directory') {
        here.children.set(component, next);
        trail.push(next);
      } else if (next.entry.kind === 'symlink') {
        if (++followed > symlinksFollowedMax) throw invalid(name, 'too many symbolic links');
        if (next.entry.linkName.startsWith('/')) trail = [this.#root];
        rest.unshift(...next.entry.linkName.split('/'));
      } else throw invalid(name, 'a part of the path is not a directory');
    }
    return trail.at(-1) ?? this.#root;
  }
}

function leafEntries(entry: TarEntry, paths: readonly string[]): TarEntry[] {
  const [first = '', ...others] = paths;
  return [
    { ...entry, name: first, xattrs: allowedXattrs(entry) },
    ...others.map((name) => linkEntry(name, first)),
  ];
}

/** A hard link of a plan. */
export function linkEntry(name: string, target: string): TarEntry {
  return { ...blank('link', name, 0o644), linkName: target };
}

/** A file of a plan under its first name. */
export function fileEntry(entry: TarEntry, name: string): TarEntry {
  return { ...entry, name, xattrs: allowedXattrs(entry) };
}

function whiteoutEntries(directory: Directory, prefix: string): TarEntry[] {
  // Only what the layers below have is removed: a name this layer brings itself stays (a directory then hides the one below).
  const removed = [...directory.whiteouts].filter((name) => !directory.children.has(name));
  return removed.map((name) => blank('characterDevice', prefix + name, 0));
}

function collect(
  directory: Directory,
  prefix: string,
  entries: TarEntry[],
  names: Map<Leaf, string[]>,
): void {
  // Explicit stack: a layer may nest directories deeper than the call stack allows.
  const stack: { directory: Directory; prefix: string }[] = [{ directory, prefix }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    entries.push(...whiteoutEntries(next.directory, next.prefix));
    for (const [name, child] of next.directory.children) {
      const path = next.prefix + name;
      if (child.kind === 'leaf') {
        const paths = names.get(child);
        if (paths === undefined) names.set(child, [path]);
        else paths.push(path);
        continue;
      }
      const opaque = child.opaque || next.directory.whiteouts.has(name);
      const kept = allowedXattrs(child.entry);
      entries.push({
        ...child.entry,
        kind: 'directory',
        name: `${path}/`,
        xattrs: opaque ? new Map([...kept, ...opaqueXattr]) : kept,
      });
      stack.push({ directory: child, prefix: `${path}/` });
    }
  }
}
