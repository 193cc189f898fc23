import { parse } from 'yaml';
import {
  badRequest,
  decodeObject,
  statusError,
  type ApiObject,
  type FieldValidation,
  type Kind,
  type Schemas,
} from '../../api/index.ts';
import { bodyEncoding } from '../http/negotiation.ts';
import type { RequestContext } from '../http/request-context.ts';
import { decodeProtobuf } from '../protobuf/decode-message.ts';
import { headerOf } from '../http/responder.ts';
import { readBody } from '../http/responder.ts';

type BodyKind = Pick<Kind, 'group' | 'version' | 'kind' | 'definition'>;

/** The `fieldValidation` parameter; the server's default is Warn. */
export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation') ?? '';
  if (value === '') return 'Warn';
  if (value === 'Ignore' || value === 'Warn' || value === 'Strict') return value;
  throw invalidOption('fieldValidation', value, ['Ignore', 'Warn', 'Strict']);
}

/** The `dryRun` parameter: only `All` exists. */
export function isDryRun(query: URLSearchParams): boolean {
  const values = query.getAll('dryRun').filter((value) => value !== '');
  for (const value of values) if (value !== 'All') throw invalidOption('dryRun', value, ['All']);
  return values.length > 0;
}

function invalidOption(field: string, value: string, supported: readonly string[]): Error {
  const list = supported.map((each) => JSON.stringify(each)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return statusError('Invalid', {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `${field}: ${message}`,
    reason: 'Invalid',
    details: { causes: [{ reason: 'FieldValueNotSupported', message, field }] },
    code: 422,
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A body as a plain record (for JSON, text is enough where it is decoded later); undefined when it is empty. */
async function readAny(context: RequestContext): Promise<string | Record<string, unknown> | undefined> {
  const encoding = bodyEncoding(headerOf(context.request, 'content-type'));
  const bytes = await readBody(context.request);
  if (encoding === 'protobuf') return bytes.length === 0 ? undefined : decodeProtobuf(bytes);
  const text = bytes.toString('utf8');
  if (text.trim() === '') return undefined;
  return encoding === 'yaml' ? requireRecord(parseYaml(text)) : text;
}

function requireRecord(value: unknown): Record<string, unknown> {
  if (!isRecord(value)) throw badRequest('the body of the request is not an object');
  return value;
}

/** A body in any accepted encoding as a plain record; undefined when it is empty. */
export async function readRecord(context: RequestContext): Promise<Record<string, unknown> | undefined> {
  const body = await readAny(context);
  return typeof body === 'string' ? requireRecord(parseJson(body)) : body;
}

/** Any JSON value; 400 when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw badRequest(`error decoding the body: ${why}`, { cause });
  }
}

function parseYaml(text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw badRequest(`error decoding the body: error converting YAML to JSON: ${why}`, { cause });
  }
}

/** The object in the body, decoded against its schema; what it warns of goes to the context. */
export async function readObject(
  context: RequestContext,
  schemas: Schemas,
  kind: BodyKind,
): Promise<ApiObject> {
  const fieldValidation = fieldValidationOf(context.query);
  const body = await readAny(context);
  if (body === undefined) throw badRequest('the body of the request is empty: an object is required');
  const { object, warnings } = decodeObject(schemas, kind, body, { fieldValidation });
  context.warnings.push(...warnings);
  return object;
}
