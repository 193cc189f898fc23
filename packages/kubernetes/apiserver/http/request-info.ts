import { badRequest, type Verb } from '../../api/index.ts';
import { unknownPath } from './status-error.ts';

/** What a request wants, read from method and path alone (API concepts, "Resource URIs"). */
export type RequestInfo =
  ResourceRequest | { readonly kind: 'path'; readonly path: string; readonly verb: string };

export interface ResourceRequest {
  readonly kind: 'resource';
  readonly path: string;
  /** get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: Verb;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** What follows the subresource: `proxy/metrics` has [`metrics`]. */
  readonly rest: readonly string[];
}

function splitPath(path: string): string[] {
  try {
    return path
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
  } catch {
    throw badRequest(`malformed path ${JSON.stringify(path)}`);
  }
}

/** Truth as query parameters spell it; `?watch` alone is true. */
export function isTrue(value: string | null): boolean {
  return value === '' || value === '1' || value === 'true' || value === 'True' || value === 'TRUE';
}

function verbOf(method: string, named: boolean, watch: boolean): Verb {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return watch ? 'watch' : named ? 'get' : 'list';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return named ? 'delete' : 'deletecollection';
    default:
      throw unknownPath();
  }
}

/** Reads method, path and query of a request; what is no path of a resource is a path request (discovery, health). */
export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const plain = { kind: 'path', path, verb: method.toLowerCase() } as const;
  const parts = splitPath(path);
  const [root, ...afterRoot] = parts;
  if (root === 'api' && afterRoot.length >= 2) {
    return parseResource(method, path, '', afterRoot[0] ?? '', afterRoot.slice(1), query);
  }
  if (root === 'apis' && afterRoot.length >= 3) {
    return parseResource(method, path, afterRoot[0] ?? '', afterRoot[1] ?? '', afterRoot.slice(2), query);
  }
  return plain;
}

function parseResource(
  method: string,
  path: string,
  group: string,
  version: string,
  given: readonly string[],
  query: URLSearchParams,
): ResourceRequest {
  let parts = given;
  let watch = query.has('watch') && isTrue(query.get('watch'));
  if (parts[0] === 'watch' && parts.length > 1) {
    watch = true; // the old form /api/v1/watch/pods
    parts = parts.slice(1);
  }
  const { namespace, rest } = takeNamespace(parts);
  const [resource, name, subresource, ...tail] = rest;
  if (resource === undefined) throw unknownPath();
  // A watch of one object by its path is a watch of the list narrowed to its name.
  const verb = verbOf(method, name !== undefined, watch && subresource === undefined);
  return {
    kind: 'resource',
    path,
    verb,
    group,
    version,
    resource,
    subresource: subresource ?? '',
    namespace: resource === 'namespaces' && group === '' ? '' : namespace,
    name: name ?? '',
    rest: tail,
  };
}

const namespaceSubresources = new Set(['status', 'finalize']);

function takeNamespace(parts: readonly string[]): { namespace: string; rest: readonly string[] } {
  if (parts[0] !== 'namespaces' || parts.length < 3 || namespaceSubresources.has(parts[2] ?? '')) {
    return { namespace: '', rest: parts };
  }
  return { namespace: parts[1] ?? '', rest: parts.slice(2) };
}
