import { badRequest } from './errors.ts';
import type { Kind } from './kind.ts';
import { qualifiedResource } from './kinds.ts';
import { labelNameErrors, labelValueErrors } from './names.ts';
import type { ApiObject } from './object.ts';

/** meta/v1 LabelSelector. */
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: LabelSelectorRequirement[];
}

export interface LabelSelectorRequirement {
  key: string;
  operator: string;
  values?: string[];
}

type Labels = Readonly<Record<string, string>>;
export type LabelTest = (labels: Labels | undefined) => boolean;

type Operator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** Longest selector text taken from a client. */
const textMax = 64 * 1024;

/** `labelSelector` query parameter: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`. Empty: everything. Throws a 400. */
export function parseLabelSelector(text: string): LabelTest {
  if (text.length > textMax) throw badRequest(`label selector: longer than ${textMax} characters`);
  const requirements = new LabelParser(text).parse();
  for (const requirement of requirements) checkRequirement(text, requirement);
  return (labels) => requirements.every((requirement) => satisfies(requirement, labels));
}

/** Whether a LabelSelector object selects the labels: an empty one everything, an absent one nothing. */
export function matchesLabelSelector(
  selector: LabelSelector | undefined,
  labels: Labels | undefined,
): boolean {
  if (selector === undefined) return false;
  return requirementsOf(selector).every((requirement) => satisfies(requirement, labels));
}

/** The text form of a LabelSelector, as Scale status and queries use it. */
export function formatLabelSelector(selector: LabelSelector): string {
  return requirementsOf(selector)
    .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ key, operator, values }) => {
      if (operator === '=') return `${key}=${values[0] ?? ''}`;
      if (operator === 'exists') return key;
      if (operator === '!') return `!${key}`;
      return `${key} ${operator} (${values.toSorted().join(',')})`;
    })
    .join(',');
}

/** Whether labels have every pair of a plain selector (Service, ReplicationController). An empty one selects nothing. */
export function matchesLabels(selector: Labels | undefined, labels: Labels | undefined): boolean {
  const pairs = Object.entries(selector ?? {});
  return pairs.length > 0 && pairs.every(([key, value]) => valueOf(labels, key) === value);
}

const objectOperators: ReadonlyMap<string, Operator> = new Map([
  ['In', 'in'],
  ['NotIn', 'notin'],
  ['Exists', 'exists'],
  ['DoesNotExist', '!'],
]);

function requirementsOf(selector: LabelSelector): Requirement[] {
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]): Requirement => ({
    key,
    operator: '=',
    values: [value],
  }));
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values }): Requirement => {
    // Validation refuses other operators; one that slips through selects nothing.
    const known = objectOperators.get(operator);
    return known === undefined
      ? { key, operator: 'in', values: [] }
      : { key, operator: known, values: values ?? [] };
  });
  return [...equal, ...expressions];
}

function valueOf(labels: Labels | undefined, key: string): string | undefined {
  return labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function satisfies({ key, operator, values }: Requirement, labels: Labels | undefined): boolean {
  const value = valueOf(labels, key);
  switch (operator) {
    case '=':
    case '==':
    case 'in':
      return value !== undefined && values.includes(value);
    case '!=':
    case 'notin':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case 'gt':
    case 'lt':
      return value !== undefined && compareIntegers(value, values[0] ?? '', operator);
  }
}

function compareIntegers(value: string, bound: string, operator: 'gt' | 'lt'): boolean {
  if (!/^-?\d{1,18}$/.test(value)) return false;
  return operator === 'gt' ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
}

function checkRequirement(text: string, { key, operator, values }: Requirement): void {
  const refuse = (why: string): Error =>
    badRequest(`unable to parse requirement: ${why} (in label selector ${JSON.stringify(text)})`);
  const [keyError] = labelNameErrors(key);
  if (keyError !== undefined) throw refuse(`key: Invalid value: ${JSON.stringify(key)}: ${keyError}`);
  if (operator === 'gt' || operator === 'lt') {
    if (!/^-?\d{1,18}$/.test(values[0] ?? ''))
      throw refuse(`values: for 'Gt', 'Lt' operators, the value must be an integer`);
    return;
  }
  for (const value of values) {
    const [valueError] = labelValueErrors(value);
    if (valueError !== undefined)
      throw refuse(`values: Invalid value: ${JSON.stringify(value)}: ${valueError}`);
  }
}

const tokenPattern = /\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)/y;

class LabelParser {
  readonly #text: string;
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    const pattern = new RegExp(tokenPattern);
    for (;;) {
      const match = pattern.exec(text);
      if (match?.[1] === undefined || match[1] === '') break;
      this.#tokens.push(match[1]);
    }
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    if (this.#tokens.length === 0) return requirements;
    for (;;) {
      requirements.push(this.#requirement());
      const separator = this.#take();
      if (separator === '') return requirements;
      if (separator !== ',') throw this.#expected("',' or end of selector", separator);
    }
  }

  #requirement(): Requirement {
    const first = this.#take();
    if (first === '!') return { key: this.#word('a label key'), operator: '!', values: [] };
    const key = this.#asWord(first, 'a label key');
    const next = this.#peek();
    if (next === '' || next === ',') return { key, operator: 'exists', values: [] };
    this.#take();
    switch (next) {
      case '=':
      case '==':
      case '!=':
        return { key, operator: next, values: [this.#exactValue()] };
      case '<':
      case '>':
        return { key, operator: next === '<' ? 'lt' : 'gt', values: [this.#word('a number')] };
      case 'in':
      case 'notin':
        return { key, operator: next, values: this.#valueSet() };
      default:
        throw this.#expected("one of '=', '==', '!=', 'in', 'notin', '<', '>'", next);
    }
  }

  /** A value after `=`; nothing there is the empty value. */
  #exactValue(): string {
    const next = this.#peek();
    return next === '' || next === ',' ? '' : this.#word('a value');
  }

  #valueSet(): string[] {
    const open = this.#take();
    if (open !== '(') throw this.#expected("'('", open);
    const values: string[] = [];
    for (;;) {
      const next = this.#peek();
      // `(,a)` and `()` contain the empty value, as in Kubernetes.
      values.push(next === ',' || next === ')' ? '' : this.#word('a value'));
      const separator = this.#take();
      if (separator === ')') return values;
      if (separator !== ',') throw this.#expected("',' or ')'", separator);
    }
  }

  #word(what: string): string {
    return this.#asWord(this.#take(), what);
  }

  #asWord(token: string, what: string): string {
    if (token === '' || /^[=!<>(),]/.test(token)) throw this.#expected(what, token);
    return token;
  }

  #take(): string {
    return this.#tokens[this.#at++] ?? '';
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? '';
  }

  #expected(what: string, found: string): Error {
    const where = found === '' ? 'the end' : `'${found}'`;
    return badRequest(
      `unable to parse requirement: found ${where}, expected: ${what} (in label selector ${JSON.stringify(this.#text)})`,
    );
  }
}

export interface FieldSelector {
  matches(object: ApiObject): boolean;
  /** The value `metadata.name` must equal, if the selector says so: one object instead of a scan. */
  readonly name?: string;
  /** The value `metadata.namespace` must equal, if the selector says so. */
  readonly namespace?: string;
}

const fieldsOfKinds: Readonly<Record<string, readonly string[]>> = {
  '/Event': [
    'involvedObject.apiVersion',
    'involvedObject.fieldPath',
    'involvedObject.kind',
    'involvedObject.name',
    'involvedObject.namespace',
    'involvedObject.resourceVersion',
    'involvedObject.uid',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  '/Namespace': ['status.phase'],
  '/Network': ['status.phase', 'spec.tenantID'],
  '/Node': ['spec.unschedulable'],
  '/Pod': [
    'spec.hostNetwork',
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'status.nominatedNodeName',
    'status.phase',
    'status.podIP',
  ],
  '/ReplicationController': ['status.replicas'],
  '/Secret': ['type'],
  '/Service': ['spec.clusterIP', 'spec.type'],
  'apps/ReplicaSet': ['status.replicas'],
  'batch/Job': ['status.successful'],
  'events.k8s.io/Event': [
    'reason',
    'regarding.apiVersion',
    'regarding.fieldPath',
    'regarding.kind',
    'regarding.name',
    'regarding.namespace',
    'regarding.resourceVersion',
    'regarding.uid',
    'reportingController',
    'type',
  ],
};

/** Fields whose selector name is not the path in the object. */
const fieldPaths: Readonly<Record<string, readonly string[]>> = {
  'status.successful': ['status.succeeded'],
  source: ['source.component', 'reportingComponent'],
  reportingComponent: ['reportingComponent'],
};

/** Values of fields that are absent in the object. */
const absentValues: Readonly<Record<string, string>> = {
  'spec.hostNetwork': 'false',
  'spec.unschedulable': 'false',
  'status.replicas': '0',
  'status.successful': '0',
};

/** `fieldSelector` query parameter: `status.phase!=Running,spec.nodeName=a`. A field the kind does not support is a 400. */
export function parseFieldSelector(kind: Kind, text: string): FieldSelector {
  const terms = splitTerms(text).map((term) => parseFieldTerm(kind, text, term));
  const equalTo = (path: string): string | undefined =>
    terms.find((term) => term.path === path && term.equal)?.value;
  const name = equalTo('metadata.name');
  const namespace = equalTo('metadata.namespace');
  return {
    matches: (object) => terms.every((term) => (fieldValue(object, term.path) === term.value) === term.equal),
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

interface FieldTerm {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
}

/** Splits at commas that no backslash protects. */
function splitTerms(text: string): string[] {
  return (text.match(/(?:\\.|[^,\\])+/g) ?? []).filter((term) => term !== '');
}

function parseFieldTerm(kind: Kind, text: string, term: string): FieldTerm {
  const match = /^([^=!]*?)(==|!=|=)(.*)$/s.exec(term);
  const refuse = (why: string): Error =>
    badRequest(
      `Unable to find "${kind.group}/${kind.version}, Resource=${kind.plural}" that match field selector ` +
        `${JSON.stringify(text)}: ${why}`,
    );
  if (match === null) throw refuse(`invalid selector: '${term}'; can't understand '${term}'`);
  const [, path = '', operator = '', value = ''] = match;
  const supported = fieldsOfKinds[`${kind.group}/${kind.kind}`] ?? [];
  const metadata = path === 'metadata.name' || (path === 'metadata.namespace' && kind.namespaced);
  if (!metadata && !supported.includes(path)) {
    throw refuse(`field label not supported: ${path} (of ${qualifiedResource(kind)})`);
  }
  return { path, equal: operator !== '!=', value: value.replace(/\\(.)/gs, '$1') };
}

function fieldValue(object: ApiObject, path: string): string {
  for (const candidate of fieldPaths[path] ?? [path]) {
    const value = candidate
      .split('.')
      .reduce<unknown>(
        (at, name) =>
          typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined,
        object,
      );
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  }
  return absentValues[path] ?? '';
}
