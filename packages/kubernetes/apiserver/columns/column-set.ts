import { formatDuration, type ApiObject } from '../../api/index.ts';

/** meta/v1 TableColumnDefinition. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly format: string;
  readonly description: string;
  /** 0: always shown; 1: with `-o wide`. */
  readonly priority: number;
}

export type Cell = string | number | boolean;

/** How objects of a kind look in a Table. */
export interface ColumnSet {
  readonly columns: readonly Column[];
  /** One cell per column; `now` in milliseconds since the epoch. */
  cells(object: ApiObject, now: number): readonly Cell[];
}

type CellOf<T> = (object: T, now: number) => Cell;
type ColumnSpec<T> = readonly [
  name: string,
  cell: CellOf<T>,
  options?: { readonly wide?: true; readonly type?: Column['type'] },
];

export const none = '<none>';
export const unset = '<unset>';
const unknown = '<unknown>';

/** A column set out of name and cell of each; names starting a set are usually `nameColumn`. `T` is the kind's type. */
export function columnSet<T>(...specs: readonly ColumnSpec<T>[]): ColumnSet {
  return {
    columns: specs.map(([name, _cell, options]) => ({
      name,
      type: options?.type ?? 'string',
      format: name === 'Name' ? 'name' : '',
      description: descriptions[name] ?? '',
      priority: options?.wide === true ? 1 : 0,
    })),
    // Objects were validated against the schema of T before they were stored.
    cells: (object, now) => specs.map(([_name, cell]) => cell(object as unknown as T, now)),
  };
}

const descriptions: Readonly<Record<string, string>> = {
  Name: 'Name must be unique within a namespace.',
  Age: 'Time since the object was created.',
};

interface HasMetadata {
  readonly metadata?: { readonly name?: string; readonly creationTimestamp?: string };
}

/** Time since a timestamp as kubectl prints it. */
export function ageOf(timestamp: string | undefined | null, now: number): string {
  if (timestamp === undefined || timestamp === null || timestamp === '') return unknown;
  const since = Date.parse(timestamp);
  return Number.isNaN(since) ? unknown : formatDuration(Math.max(0, now - since));
}

export const nameColumn: ColumnSpec<HasMetadata> = ['Name', (object) => object.metadata?.name ?? ''];
export const ageColumn: ColumnSpec<HasMetadata> = [
  'Age',
  (object, now) => ageOf(object.metadata?.creationTimestamp, now),
];
export const createdAtColumn: ColumnSpec<HasMetadata> = [
  'Created At',
  (object) => object.metadata?.creationTimestamp ?? unknown,
];

/** Kinds without columns of their own. */
export const defaultColumns = columnSet(nameColumn, createdAtColumn);

/** `a,b` or `<none>`. */
export function joined(values: readonly string[] | undefined): string {
  return values === undefined || values.length === 0 ? none : values.join(',');
}

export function orNone(value: string | undefined | null): string {
  return value === undefined || value === null || value === '' ? none : value;
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return joined(pairs.sort());
}

/** A LabelSelector in the form of the `labelSelector` query parameter. */
export function formatSelector(selector: Selector | undefined): string {
  const equal = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const others = (selector?.matchExpressions ?? []).map(({ key, operator, values }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${(values ?? []).join(',')})`;
  });
  return joined([...equal.sort(), ...others]);
}

interface PodTemplate {
  readonly spec?: { readonly containers?: readonly { readonly name: string; readonly image?: string }[] };
}

/** The wide columns of everything that makes pods. */
export function containerColumns<T>(
  templateOf: (object: T) => PodTemplate | undefined,
): [ColumnSpec<T>, ColumnSpec<T>] {
  const containers = (object: T): readonly { name: string; image?: string }[] =>
    templateOf(object)?.spec?.containers ?? [];
  return [
    [
      'Containers',
      (object) =>
        containers(object)
          .map((container) => container.name)
          .join(','),
      { wide: true },
    ],
    [
      'Images',
      (object) =>
        containers(object)
          .map((container) => container.image ?? '')
          .join(','),
      { wide: true },
    ],
  ];
}
