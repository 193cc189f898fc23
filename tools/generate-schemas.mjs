#!/usr/bin/env node
// Makes build/schemas.json, the schemas of the Kubernetes API, out of the installed package @kubernetes/client-node: its model classes carry
// names and types (attributeTypeMap), its declarations the descriptions and which fields are required; the package kubernetes-types
// tells the API group of a type. What neither knows (merge keys, quantities, our own kinds) is added by packages/kubernetes/api when it
// loads the file. Usage: node tools/generate-schemas.mjs [output file]
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(join(root, 'package.json'));

const apiPackages = {
  apiextensions: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  apiregistration: 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
  meta: 'io.k8s.apimachinery.pkg.apis.meta',
};
const wellKnown = {
  intOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  microTime: 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime',
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  raw: 'io.k8s.apimachinery.pkg.runtime.RawExtension',
  time: 'io.k8s.apimachinery.pkg.apis.meta.v1.Time',
};

/** The folder that holds a package of node_modules. */
function packageFolder(name) {
  return dirname(join(root, 'node_modules', name, 'package.json'));
}

/** 'Pod' -> 'core', for every type of version v1 that kubernetes-types knows. */
function groupsOfTypes() {
  const folder = packageFolder('kubernetes-types');
  const groups = new Map();
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name === 'api') continue;
    let text;
    try {
      text = readFileSync(join(folder, entry.name, 'v1.d.ts'), 'utf8');
    } catch (error) {
      if (error.code === 'ENOENT') continue;
      throw error;
    }
    for (const match of text.matchAll(/^export (?:interface|type) (\w+)/gm)) {
      groups.set(match[1], [...(groups.get(match[1]) ?? []), entry.name]);
    }
  }
  return groups;
}

/** { prefix: 'Core' | '', name: 'Event' } of the models of version v1; undefined for other versions. */
function parseModelName(model) {
  if (model === 'VersionInfo') return { prefix: '', name: 'Info' };
  const match = /^([A-Z][a-z]+)?V1(?!alpha|beta)([A-Z]\w*)$/.exec(model);
  return match === null ? undefined : { prefix: (match[1] ?? '').toLowerCase(), name: match[2] };
}

/** Description and fields of a model from its declaration file. */
function parseDeclaration(text) {
  const comment = String.raw`(?:/\*\*\s*((?:(?!\*/)[\s\S])*?)\s*\*/\s*)?`;
  const of = new RegExp(`${comment}export declare class`).exec(text.slice(text.indexOf('*/') + 2));
  const fields = new Map();
  for (const match of text.matchAll(new RegExp(`${comment}'(\\w+)'(\\?)?: ([^;]+);`, 'g'))) {
    fields.set(match[2], { description: clean(match[1]), required: match[3] === undefined });
  }
  return { description: clean(of?.[1]), fields };
}

function clean(comment) {
  if (comment === undefined) return undefined;
  const text = comment
    .replace(/^\s*\*\s?/gm, '')
    .replaceAll("\\'", "'")
    .replaceAll('\\"', '"')
    .trim();
  return text === '' ? undefined : text;
}

/** The schema of one attribute; `refer` names the definition of a model. */
function schemaOfType(type, format, refer) {
  const list = /^Array<(.+)>$/.exec(type);
  if (list) return { type: 'array', items: schemaOfType(list[1], format, refer) };
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type);
  if (map) return { type: 'object', additionalProperties: schemaOfType(map[1], format, refer) };
  switch (type) {
    case 'string':
      return format === '' ? { type: 'string' } : { type: 'string', format };
    case 'number':
      return format === 'double'
        ? { type: 'number', format }
        : { type: 'integer', format: format || 'int32' };
    case 'boolean':
      return { type: 'boolean' };
    case 'Date':
    case 'V1MicroTime':
      return reference(
        format === 'date-time-micro' || type === 'V1MicroTime' ? wellKnown.microTime : wellKnown.time,
      );
    case 'IntOrString':
      return reference(wellKnown.intOrString);
    case 'any':
      return reference(wellKnown.raw);
    default:
      return reference(refer(type));
  }
}

const reference = (name) => ({ $ref: `#/definitions/${name}` });

/** Definition names of all models: by the prefix of the model, by kubernetes-types, else the group of a model that uses it. */
function nameModels(models) {
  const groups = groupsOfTypes();
  const named = new Map();
  for (const [model, { prefix, name }] of models) {
    const known = groups.get(name) ?? [];
    const group =
      prefix !== '' ? prefix : known.length === 1 ? known[0] : known.includes('core') ? 'core' : undefined;
    if (model === 'VersionInfo') named.set(model, 'io.k8s.apimachinery.pkg.version.Info');
    else if (group !== undefined) named.set(model, definitionName(group, name));
    else if (known.length > 1) throw new Error(`${model}: in several groups: ${known.join(', ')}`);
  }
  for (let before = -1; before !== named.size;) {
    before = named.size;
    for (const [model, { attributes }] of models) {
      const user = named.get(model);
      if (user === undefined) continue;
      for (const { type } of attributes) {
        const used = type.replace(/^Array<|^\{ \[key: string\]: |>$|; \}$/g, '');
        const target = models.get(used);
        if (target !== undefined && !named.has(used)) {
          named.set(used, `${user.slice(0, user.lastIndexOf('.'))}.${target.name}`);
        }
      }
    }
  }
  return named;
}

function definitionName(group, name) {
  return `${apiPackages[group] ?? `io.k8s.api.${group}`}.v1.${name}`;
}

async function readModels() {
  const folder = join(packageFolder('@kubernetes/client-node'), 'dist/gen/models');
  const { ObjectSerializer: _unused, ...classes } = await import(pathToFileURL(join(folder, 'all.js')).href);
  const models = new Map();
  for (const [model, type] of Object.entries(classes)) {
    const parsed = parseModelName(model);
    if (parsed === undefined || typeof type.getAttributeTypeMap !== 'function') continue;
    const declaration = parseDeclaration(readFileSync(join(folder, `${model}.d.ts`), 'utf8'));
    models.set(model, { ...parsed, declaration, attributes: type.getAttributeTypeMap() });
  }
  return models;
}

function definitionOf(model, refer) {
  const properties = {};
  const required = [];
  for (const { name, baseName, type, format } of model.attributes) {
    const declared = model.declaration.fields.get(name);
    const schema = schemaOfType(type, format, refer);
    properties[baseName] =
      declared?.description === undefined ? schema : { description: declared.description, ...schema };
    if (declared?.required === true) required.push(baseName);
  }
  const { description } = model.declaration;
  return {
    ...(description === undefined ? {} : { description }),
    type: 'object',
    ...(model.attributes.length === 0 ? {} : { properties }),
    ...(required.length === 0 ? {} : { required: required.sort() }),
  };
}

async function generate() {
  const models = await readModels();
  const names = nameModels(models);
  const definitions = {
    [wellKnown.intOrString]: {
      description: 'A whole number (int32), or a string: a name or a percentage.',
      type: 'string',
      format: 'int-or-string',
    },
    [wellKnown.microTime]: { description: 'A time with microseconds.', type: 'string', format: 'date-time' },
    [wellKnown.quantity]: {
      description:
        'An amount: a decimal number with an optional suffix (m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei) or exponent.',
      type: 'string',
    },
    [wellKnown.raw]: { description: 'Any JSON value.', type: 'object' },
    [wellKnown.time]: { description: 'A time as RFC 3339 writes it.', type: 'string', format: 'date-time' },
  };
  const refer = (type) => {
    const name = names.get(type);
    if (name === undefined) throw new Error(`no definition for type ${type}`);
    return name;
  };
  for (const [model, name] of names) {
    const fromOtherVersion = models.get(model).attributes.some(({ type }) => /V\d+(alpha|beta)/.test(type));
    if (!fromOtherVersion) definitions[name] = definitionOf(models.get(model), refer);
  }
  const { version } = require('@kubernetes/client-node/package.json');
  return { source: `@kubernetes/client-node ${version}`, definitions };
}

const output = resolve(process.argv[2] ?? join(root, 'build/schemas.json'));
const schemas = await generate();
mkdirSync(dirname(output), { recursive: true });
// Renamed into place: a build that is interrupted leaves no half of a file.
const draft = `${output}.${process.pid}`;
writeFileSync(draft, JSON.stringify(schemas));
renameSync(draft, output);
