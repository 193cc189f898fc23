import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

// Encodes a Swagger 2.0 document as openapi.v2.Document of gnostic (google/gnostic-models, openapiv2/OpenAPIv2.proto). Only the fields that
// our documents use have an encoder; a field without one throws, so that nothing is lost silently.

type Json = Record<string, unknown>;
type Write = (writer: BinaryWriter, value: unknown) => void;

interface Field {
  readonly number: number;
  readonly write: (writer: BinaryWriter, number: number, value: unknown) => void;
}

const wireVarint = WireType.Varint;
const wireBytes = WireType.LengthDelimited;

function message(writer: BinaryWriter, number: number, fill: (writer: BinaryWriter) => void): void {
  writer.tag(number, wireBytes).fork();
  fill(writer);
  writer.join();
}

const text = (number: number): Field => ({
  number,
  write: (writer, at, value) => writer.tag(at, wireBytes).string(value as string),
});
const flag = (number: number): Field => ({
  number,
  write: (writer, at, value) => {
    if (value === true) writer.tag(at, wireVarint).bool(true);
  },
});
const texts = (number: number): Field => ({
  number,
  write: (writer, at, value) => (value as string[]).forEach((each) => writer.tag(at, wireBytes).string(each)),
});
const nested = (number: number, write: Write): Field => ({
  number,
  write: (writer, at, value) => message(writer, at, (inner) => write(inner, value)),
});
const list = (number: number, write: Write): Field => ({
  number,
  write: (writer, at, value) => {
    for (const each of value as unknown[]) message(writer, at, (inner) => write(inner, each));
  },
});
/** A map, as a message whose field `at` holds pairs of name and value. */
const named = (number: number, write: Write, at = 1): Field =>
  nested(number, (writer, value) => writeNamed(writer, at, value as Json, write));

function writeNamed(writer: BinaryWriter, number: number, fields: Json, write: Write): void {
  for (const [name, value] of Object.entries(fields)) {
    message(writer, number, (pair) => {
      pair.tag(1, wireBytes).string(name);
      message(pair, 2, (inner) => write(inner, value));
    });
  }
}

/** Writes the fields of the table; `x-...` go to the vendor extensions, as the YAML text of their value (JSON is YAML). */
function struct(what: string, fields: Readonly<Record<string, Field>>, extensions: number): Write {
  return (writer, value) => {
    for (const [name, each] of Object.entries(value as Json)) {
      if (name.startsWith('x-')) {
        writeNamed(writer, extensions, { [name]: each }, (inner, extension) =>
          inner.tag(2, wireBytes).string(JSON.stringify(extension)),
        );
        continue;
      }
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (field === undefined) throw new Error(`OpenAPI protobuf: ${what} has no encoder for ${name}`);
      field.write(writer, field.number, each);
    }
  };
}

const none = -1;

const schema: Write = (writer, value) => writeSchema(writer, value);
const writeSchema = struct(
  'schema',
  {
    $ref: text(1),
    format: text(2),
    description: text(4),
    required: texts(19),
    additionalProperties: nested(21, (writer, value) => message(writer, 1, (inner) => schema(inner, value))),
    type: nested(22, (writer, value) => writer.tag(1, wireBytes).string(value as string)),
    items: nested(23, (writer, value) => message(writer, 1, (inner) => schema(inner, value))),
    properties: named(25, schema),
  },
  31,
);

/** Query and path parameters have the same fields under other numbers from the fifth on. */
const parameterFields = (typeAt: number, uniqueAt: number): Readonly<Record<string, Field>> => ({
  required: flag(1),
  in: text(2),
  description: text(3),
  name: text(4),
  type: text(typeAt),
  uniqueItems: flag(uniqueAt),
});
const queryParameter = struct('query parameter', parameterFields(6, 20), none);
const pathParameter = struct('path parameter', parameterFields(5, 19), none);
const bodyParameter = struct(
  'body parameter',
  { description: text(1), name: text(2), in: text(3), required: flag(4), schema: nested(5, schema) },
  6,
);

/** ParametersItem.parameter = 1; Parameter.body_parameter = 1, .non_body_parameter = 2; query = 3, path = 4 of the latter. */
const parameter: Write = (writer, value) => {
  const where = (value as Json)['in'];
  message(writer, 1, (item) => {
    if (where === 'body') {
      message(item, 1, (inner) => bodyParameter(inner, value));
      return;
    }
    message(item, 2, (nonBody) =>
      where === 'query'
        ? message(nonBody, 3, (inner) => queryParameter(inner, value))
        : message(nonBody, 4, (inner) => pathParameter(inner, value)),
    );
  });
};

const response = struct(
  'response',
  {
    description: text(1),
    schema: nested(2, (writer, value) => message(writer, 1, (inner) => schema(inner, value))),
  },
  5,
);

const operation = struct(
  'operation',
  {
    tags: texts(1),
    description: text(3),
    operationId: text(5),
    produces: texts(6),
    consumes: texts(7),
    parameters: list(8, parameter),
    responses: named(9, (writer, value) => message(writer, 1, (inner) => response(inner, value))),
  },
  13,
);

const pathItem = struct(
  'path',
  {
    get: nested(2, operation),
    put: nested(3, operation),
    post: nested(4, operation),
    delete: nested(5, operation),
    patch: nested(8, operation),
    parameters: list(9, parameter),
  },
  10,
);

const info = struct('info', { title: text(1), version: text(2) }, 7);

const document = struct(
  'document',
  {
    swagger: text(1),
    info: nested(2, info),
    paths: named(8, pathItem, 2),
    definitions: named(9, schema),
  },
  16,
);

/** The document as bytes of openapi.v2.Document. Throws when it has a field this encoder does not know. */
export function encodeSwagger(swagger: Json): Uint8Array {
  const writer = new BinaryWriter();
  document(writer, swagger);
  return writer.finish();
}
