export type TarEntryKind =
  'file' | 'link' | 'symlink' | 'directory' | 'characterDevice' | 'blockDevice' | 'fifo';

/**
 * One member of a tar archive. Names are byte strings (latin1: one character per byte), because file names on Linux are bytes and
 * many images hold names that are not UTF-8.
 */
export interface TarEntry {
  readonly kind: TarEntryKind;
  readonly name: string;
  /** Target of links, else empty. */
  readonly linkName: string;
  /** Permission bits including set-user-id, set-group-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Whole seconds since the epoch. */
  readonly modifiedAt: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Extended attributes; values are any bytes (file capabilities are binary). */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** Header and content are padded to this. */
export const tarBlockBytes = 512;
