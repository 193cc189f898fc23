/** Rows as a table with columns as wide as their widest cell, the way kubectl prints. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + 3)))
        .join('')
        .trimEnd(),
    )
    .join('\n');
}

/** Prints a list as a table, or with --json as it is. */
export function printList<T extends object>(
  items: readonly T[],
  json: boolean,
  columns: Readonly<Record<string, (item: T) => string>>,
): void {
  if (json) {
    console.log(
      JSON.stringify(items, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value), 2),
    );
    return;
  }
  const titles = Object.keys(columns);
  console.log(
    formatTable(
      titles,
      items.map((item) => titles.map((title) => columns[title]?.(item) ?? '')),
    ),
  );
}
