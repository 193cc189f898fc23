/** Longest piece of a line in one log entry; longer lines are entries marked P, the last of them F (CRI logging). */
const entryBytesMax = 16 << 10;
const newline = 10;

/**
 * Output as entries of the CRI log format: `<RFC3339Nano> <stream> <F|P> <text>`. Takes whole lines, full pieces of long ones, and at the end
 * the rest; `consumed` says how much. Pure.
 */
export function formatLogEntries(
  data: Buffer,
  stream: 'stdout' | 'stderr',
  timestamp: string,
  atEnd: boolean,
): { readonly text: Buffer; readonly consumed: number } {
  const parts: Buffer[] = [];
  const full = Buffer.from(`${timestamp} ${stream} F `);
  const partial = Buffer.from(`${timestamp} ${stream} P `);
  const lineEnd = Buffer.from('\n');
  let at = 0;
  while (at < data.length) {
    const end = data.indexOf(newline, at);
    const length = (end < 0 ? data.length : end) - at;
    if (length > entryBytesMax || (length === entryBytesMax && end < 0 && !atEnd)) {
      parts.push(partial, data.subarray(at, at + entryBytesMax), lineEnd);
      at += entryBytesMax;
    } else if (end >= 0 || atEnd) {
      parts.push(full, data.subarray(at, at + length), lineEnd);
      at += length + (end < 0 ? 0 : 1);
    } else break;
  }
  return { text: Buffer.concat(parts), consumed: at };
}

/** RFC 3339 with nanoseconds, in UTC, of now. */
export function logTimestamp(): string {
  const ns = process.hrtime.bigint() % 1_000_000n;
  return new Date().toISOString().replace('Z', `${ns.toString().padStart(6, '0')}Z`);
}
