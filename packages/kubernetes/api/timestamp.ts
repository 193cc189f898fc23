const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/** The canonical form of an RFC 3339 time in UTC, whole seconds or (`micro`) six decimals; undefined when it is none. */
export function parseTimestamp(text: string, micro: boolean): string | undefined {
  const match = rfc3339.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match;
  const instant = new Date(
    `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}.000${zone.toUpperCase()}`,
  );
  if (Number.isNaN(instant.getTime()) || Number(day) > daysIn(Number(year), Number(month))) return undefined;
  const seconds = instant.toISOString().slice(0, 19);
  return micro ? `${seconds}.${fraction.slice(0, 6).padEnd(6, '0')}Z` : `${seconds}Z`;
}

/** Date rolls 31 February over into March; a timestamp with it is an error. */
function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/** meta/v1 Time of an instant: `2026-01-02T03:04:05Z`. */
export function formatTimestamp(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}

/** meta/v1 MicroTime of an instant: `2026-01-02T03:04:05.678000Z`. */
export function formatMicroTimestamp(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 23)}000Z`;
}
