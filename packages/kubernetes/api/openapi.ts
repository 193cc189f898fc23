import { createHash } from 'node:crypto';
import type { Kind, Subresource } from './kind.ts';
import { apiVersionOf, kinds } from './kinds.ts';
import { encodeSwagger } from './openapi-protobuf.ts';
import { definition, type Schema, type Schemas } from './schemas.ts';

// Documents of the API for clients: kubectl explain reads the definitions, kubectl apply the merge keys, and both decide from the query
// parameters of PATCH (dryRun, fieldValidation) what the server can do.

type Json = Record<string, unknown>;

const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const bodyTypes = ['application/json', 'application/yaml'];
const patchBodyTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

interface Documents {
  readonly v2: Json;
  v2Protobuf?: Uint8Array;
  readonly v3: ReadonlyMap<string, Json>;
  readonly v3Index: Json;
}

const made = new WeakMap<Schemas, Documents>();

/** The Swagger 2.0 document of GET /openapi/v2 in its JSON form. Made once. */
export function openApiV2(schemas: Schemas): Json {
  return documentsOf(schemas).v2;
}

/**
 * The same for `Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf` and `...spec.v2.v1.0+protobuf` (gnostic's
 * openapi.v2.Document), the only form kubectl reads of version 2. Made once.
 */
export function openApiV2Protobuf(schemas: Schemas): Uint8Array {
  const documents = documentsOf(schemas);
  documents.v2Protobuf ??= encodeSwagger(documents.v2);
  return documents.v2Protobuf;
}

/** GET /openapi/v3: { paths: { 'api/v1': { serverRelativeURL: '/openapi/v3/api/v1?hash=...' } } }. */
export function openApiV3Index(schemas: Schemas): Json {
  return documentsOf(schemas).v3Index;
}

/** GET /openapi/v3/<path> with path `api/v1` or `apis/apps/v1`; undefined when the group version is not served. */
export function openApiV3(schemas: Schemas, path: string): Json | undefined {
  return documentsOf(schemas).v3.get(path);
}

function documentsOf(schemas: Schemas): Documents {
  let documents = made.get(schemas);
  if (documents === undefined) {
    documents = makeDocuments(schemas);
    made.set(schemas, documents);
  }
  return documents;
}

const info = { title: 'Kubernetes', version: 'v1.33.0' };

function makeDocuments(schemas: Schemas): Documents {
  const v3 = new Map<string, Json>();
  const index: Record<string, Json> = {};
  for (const path of groupPaths()) {
    const document = makeV3(schemas, path);
    v3.set(path, document);
    const hash = createHash('sha256')
      .update(JSON.stringify(document))
      .digest('hex')
      .slice(0, 32)
      .toUpperCase();
    index[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { v2: makeV2(schemas), v3, v3Index: { paths: index } };
}

function groupPaths(): string[] {
  return [...new Set(kinds.map(groupPath))];
}

/** `api/v1` or `apis/apps/v1`. */
function groupPath(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === '' ? `api/${kind.version}` : `apis/${apiVersionOf(kind)}`;
}

function makeV2(schemas: Schemas): Json {
  const paths: Json = {};
  for (const kind of kinds) Object.assign(paths, pathsOf(kind, v2Form));
  const names = reachable(schemas, kinds);
  const definitions = Object.fromEntries(names.map((name) => [name, withKind(schemas, name)]));
  return { swagger: '2.0', info, paths, definitions };
}

function makeV3(schemas: Schemas, path: string): Json {
  const own = kinds.filter((kind) => groupPath(kind) === path);
  const paths: Json = {};
  for (const kind of own) Object.assign(paths, pathsOf(kind, v3Form));
  const names = reachable(schemas, own);
  const components = Object.fromEntries(names.map((name) => [name, toV3(withKind(schemas, name))]));
  return { openapi: '3.0.0', info, paths, components: { schemas: components } };
}

/** Names of the definitions the kinds and their lists use, sorted. */
function reachable(schemas: Schemas, from: readonly Kind[]): string[] {
  const names = new Set<string>();
  const visit = (name: string): void => {
    if (names.has(name)) return;
    names.add(name);
    const text = JSON.stringify(definition(schemas, name));
    for (const [, used] of text.matchAll(/"#\/definitions\/([^"]+)"/g)) if (used !== undefined) visit(used);
  };
  for (const kind of from) {
    visit(kind.definition);
    if (kind.verbs.includes('list')) visit(listDefinition(kind));
    for (const sub of kind.subresources) if (schemas.definitions.has(sub.definition)) visit(sub.definition);
  }
  for (const name of ['DeleteOptions', 'Status', 'WatchEvent']) visit(`${meta}.${name}`);
  return [...names].sort();
}

function listDefinition(kind: Kind): string {
  return kind.definition.replace(/[^.]+$/, kind.listKind);
}

const kindsOfDefinitions = new Map<string, { group: string; version: string; kind: string }[]>(
  kinds.flatMap((kind) => {
    const { group, version } = kind;
    return [
      [kind.definition, [{ group, kind: kind.kind, version }]],
      [listDefinition(kind), [{ group, kind: kind.listKind, version }]],
      ...kind.subresources.map((sub): [string, { group: string; version: string; kind: string }[]] => [
        sub.definition,
        [{ group: sub.group, kind: sub.kind, version: sub.version }],
      ]),
    ];
  }),
);

/** The definition with the kind it is the body of. */
function withKind(schemas: Schemas, name: string): Schema {
  const schema = definition(schemas, name);
  const its = kindsOfDefinitions.get(name);
  return its === undefined ? schema : { ...schema, 'x-kubernetes-group-version-kind': its };
}

/** Swagger's form to that of OpenAPI 3: references lie elsewhere and stand alone, int-or-string is a choice. */
function toV3(schema: Schema): Json {
  const { $ref, description, items, additionalProperties, properties, ...rest } = schema;
  if ($ref !== undefined) {
    const target = { $ref: $ref.replace('#/definitions/', '#/components/schemas/') };
    const others = { ...rest, ...(description === undefined ? {} : { description }) };
    return Object.keys(others).length === 0 ? target : { ...others, allOf: [target] };
  }
  const result: Json = { ...rest, ...(description === undefined ? {} : { description }) };
  if (schema.format === 'int-or-string') {
    delete result['type'];
    result['oneOf'] = [{ type: 'integer' }, { type: 'string' }];
  }
  if (items !== undefined) result['items'] = toV3(items);
  if (additionalProperties !== undefined) result['additionalProperties'] = toV3(additionalProperties);
  if (properties !== undefined) {
    result['properties'] = Object.fromEntries(
      Object.entries(properties).map(([name, each]) => [name, toV3(each)]),
    );
  }
  return result;
}

// Paths

interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'integer' | 'boolean';
  readonly description: string;
}

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({
  name,
  in: 'query',
  type,
  description,
});
const inPath = (name: string, description: string): Parameter => ({
  name,
  in: 'path',
  type: 'string',
  description,
});

const namespaceParameter = inPath('namespace', 'Name of the namespace.');
const nameParameter = inPath('name', 'Name of the object.');
const pretty = query('pretty', 'string', 'If true, the answer is printed for people.');
const dryRun = query('dryRun', 'string', 'All: everything is checked, nothing is stored.');
const fieldManager = query('fieldManager', 'string', 'Name of the program that makes the change.');
const fieldValidation = query(
  'fieldValidation',
  'string',
  'What to do with unknown and duplicate fields: Ignore, Warn or Strict.',
);
const listParameters = [
  query('labelSelector', 'string', 'Only objects with such labels.'),
  query('fieldSelector', 'string', 'Only objects with such fields.'),
  query('limit', 'integer', 'At most so many objects; the answer says how to go on.'),
  query('continue', 'string', 'Where the list before ended.'),
  query('resourceVersion', 'string', 'Version to list or to watch from.'),
  query('resourceVersionMatch', 'string', 'How resourceVersion is meant: Exact or NotOlderThan.'),
  query('timeoutSeconds', 'integer', 'The watch ends after so many seconds.'),
  query('watch', 'boolean', 'Changes as they come instead of the list.'),
  query('allowWatchBookmarks', 'boolean', 'The watch may send bookmarks.'),
  query('sendInitialEvents', 'boolean', 'The watch starts with what is there.'),
];
const deleteParameters = [
  dryRun,
  query('gracePeriodSeconds', 'integer', 'Seconds until the object is removed.'),
  query('orphanDependents', 'boolean', 'Deprecated: use propagationPolicy.'),
  query('propagationPolicy', 'string', 'What happens to dependents: Orphan, Background or Foreground.'),
];
const writeParameters = [dryRun, fieldManager, fieldValidation];
const patchParameters = [...writeParameters, query('force', 'boolean', 'For apply patches only.')];

interface Operation {
  readonly method: 'get' | 'put' | 'post' | 'delete' | 'patch';
  readonly action: string;
  readonly id: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly tag: string;
  readonly parameters: readonly Parameter[];
  /** Definition of the body; absent: none. */
  readonly body?: string;
  /** Definition of the answer; absent: a string. */
  readonly answer?: string;
}

type Form = (operation: Operation) => Json;
type PathForm = (parameters: readonly Parameter[]) => unknown[];
interface Forms {
  readonly operation: Form;
  readonly parameters: PathForm;
}

const v2Form: Forms = { operation: v2Operation, parameters: (list) => list.map(v2Parameter) };
const v3Form: Forms = { operation: v3Operation, parameters: (list) => list.map(v3Parameter) };

/** All paths of a kind, with the operations its verbs stand for. */
function pathsOf(kind: Kind, forms: Forms): Json {
  const base = `/${groupPath(kind)}`;
  const collection = kind.namespaced
    ? `${base}/namespaces/{namespace}/${kind.plural}`
    : `${base}/${kind.plural}`;
  const scope = kind.namespaced ? [namespaceParameter] : [];
  const paths: Json = {};
  const add = (path: string, parameters: readonly Parameter[], operations: readonly Operation[]): void => {
    if (operations.length === 0) return;
    const item: Json = { parameters: forms.parameters([...parameters, pretty]) };
    for (const operation of operations) item[operation.method] = forms.operation(operation);
    paths[path] = item;
  };
  add(collection, scope, collectionOperations(kind));
  if (kind.namespaced && kind.verbs.includes('list')) {
    add(`${base}/${kind.plural}`, [], [listOperation(kind, 'ForAllNamespaces')]);
  }
  add(`${collection}/{name}`, [nameParameter, ...scope], objectOperations(kind));
  for (const sub of kind.subresources) {
    add(`${collection}/{name}/${sub.name}`, [nameParameter, ...scope], subresourceOperations(kind, sub));
  }
  return paths;
}

/** `CoreV1NamespacedPod`: the middle of operation identifiers. */
function nameOf(kind: Kind): string {
  return `${tagOf(kind)}_${kind.namespaced ? 'Namespaced' : ''}${kind.kind}`;
}

function tagOf(kind: Kind): string {
  const group = kind.group === '' ? 'core' : kind.group.replace(/\.k8s\.io$/, '').replaceAll('.', '');
  return `${group}_${kind.version}`;
}

function gvk(of: {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}): Operation['kind'] {
  return { group: of.group, version: of.version, kind: of.kind };
}

function listOperation(kind: Kind, suffix = ''): Operation {
  return {
    method: 'get',
    action: 'list',
    id: `list_${nameOf(kind)}${suffix}`,
    kind: gvk(kind),
    tag: tagOf(kind),
    parameters: listParameters,
    answer: listDefinition(kind),
  };
}

function collectionOperations(kind: Kind): Operation[] {
  const common = { kind: gvk(kind), tag: tagOf(kind) };
  const operations: Operation[] = [];
  if (kind.verbs.includes('list')) operations.push(listOperation(kind));
  if (kind.verbs.includes('create')) {
    const bodies = { body: kind.definition, answer: kind.definition };
    operations.push({
      ...common,
      ...bodies,
      method: 'post',
      action: 'post',
      id: `create_${nameOf(kind)}`,
      parameters: writeParameters,
    });
  }
  if (kind.verbs.includes('deletecollection')) {
    operations.push({
      ...common,
      method: 'delete',
      action: 'deletecollection',
      id: `deletecollection_${nameOf(kind)}`,
      parameters: [...listParameters, ...deleteParameters],
      body: `${meta}.DeleteOptions`,
      answer: `${meta}.Status`,
    });
  }
  return operations;
}

function objectOperations(kind: Kind): Operation[] {
  const common = { kind: gvk(kind), tag: tagOf(kind), answer: kind.definition };
  const operations = readWriteOperations(common, kind.verbs, nameOf(kind), kind.definition);
  if (kind.verbs.includes('delete')) {
    operations.push({
      ...common,
      method: 'delete',
      action: 'delete',
      id: `delete_${nameOf(kind)}`,
      parameters: deleteParameters,
      body: `${meta}.DeleteOptions`,
      answer: `${meta}.Status`,
    });
  }
  return operations;
}

function subresourceOperations(kind: Kind, sub: Subresource): Operation[] {
  const id = `${nameOf(kind)}_${sub.name}`;
  const streaming = sub.kind.endsWith('Options') || sub.name === 'log';
  const common = { kind: gvk(sub), tag: tagOf(kind), ...(streaming ? {} : { answer: sub.definition }) };
  const operations = readWriteOperations(common, sub.verbs, id, sub.definition);
  if (sub.verbs.includes('create')) {
    operations.push({
      ...common,
      method: 'post',
      action: streaming ? 'connect' : 'post',
      id: `${streaming ? 'connect_post' : 'create'}_${id}`,
      parameters: streaming ? [] : writeParameters,
      ...(streaming ? {} : { body: sub.definition }),
    });
  }
  return operations;
}

function readWriteOperations(
  common: Pick<Operation, 'kind' | 'tag' | 'answer'>,
  verbs: readonly string[],
  id: string,
  body: string,
): Operation[] {
  const operations: Operation[] = [];
  if (verbs.includes('get')) {
    operations.push({ ...common, method: 'get', action: 'get', id: `read_${id}`, parameters: [] });
  }
  if (verbs.includes('update')) {
    const parameters = writeParameters;
    operations.push({ ...common, method: 'put', action: 'put', id: `replace_${id}`, parameters, body });
  }
  if (verbs.includes('patch')) {
    const patch = { action: 'patch', id: `patch_${id}`, parameters: patchParameters, body: `${meta}.Patch` };
    operations.push({ ...common, ...patch, method: 'patch' });
  }
  return operations;
}

function v2Parameter(parameter: Parameter): Json {
  const { name, in: where, type, description } = parameter;
  return {
    description,
    in: where,
    name,
    ...(where === 'path' ? { required: true } : {}),
    type,
    uniqueItems: true,
  };
}

function v3Parameter(parameter: Parameter): Json {
  const { name, in: where, type, description } = parameter;
  const required = where === 'path' ? { required: true } : {};
  return { description, in: where, name, ...required, schema: { type, uniqueItems: true } };
}

function common(operation: Operation): Json {
  return {
    tags: [operation.tag],
    operationId: operation.id,
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': operation.kind,
  };
}

function v2Operation(operation: Operation): Json {
  const body =
    operation.body === undefined
      ? []
      : [
          {
            in: 'body',
            name: 'body',
            required: operation.method !== 'delete',
            schema: bodySchema(operation.body, '#/definitions/'),
          },
        ];
  const schema =
    operation.answer === undefined ? { type: 'string' } : { $ref: `#/definitions/${operation.answer}` };
  return {
    ...common(operation),
    consumes: operation.method === 'patch' ? patchBodyTypes : bodyTypes,
    produces: ['application/json'],
    parameters: [...body, ...operation.parameters.map(v2Parameter)],
    responses: { '200': { description: 'OK', schema }, '401': { description: 'Unauthorized' } },
  };
}

function v3Operation(operation: Operation): Json {
  const types = operation.method === 'patch' ? patchBodyTypes : bodyTypes;
  const schema =
    operation.answer === undefined
      ? { type: 'string' }
      : { $ref: `#/components/schemas/${operation.answer}` };
  const body =
    operation.body === undefined
      ? {}
      : {
          requestBody: {
            required: operation.method !== 'delete',
            content: Object.fromEntries(
              types.map((type) => [
                type,
                { schema: bodySchema(operation.body ?? '', '#/components/schemas/') },
              ]),
            ),
          },
        };
  return {
    ...common(operation),
    parameters: operation.parameters.map(v3Parameter),
    ...body,
    responses: {
      '200': { description: 'OK', content: { 'application/json': { schema } } },
      '401': { description: 'Unauthorized' },
    },
  };
}

/** A patch may be any JSON value. */
function bodySchema(name: string, prefix: string): Json {
  return name === `${meta}.Patch` ? { type: 'object' } : { $ref: `${prefix}${name}` };
}
