import { PlatformError } from '@hypernetes/foundation/errors';
import type { Schemas } from './schemas.ts';

/** The Swagger 2.0 document of GET /openapi/v2 (JSON form). */
export function openApiV2(_schemas: Schemas): Record<string, unknown> {
  throw new PlatformError('Unimplemented', 'OpenAPI v2: not there yet');
}

/** The same for `Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf` (gnostic openapi.v2.Document). */
export function openApiV2Protobuf(_schemas: Schemas): Uint8Array {
  throw new PlatformError('Unimplemented', 'OpenAPI v2: not there yet');
}

/** GET /openapi/v3: { paths: { 'api/v1': { serverRelativeURL: '/openapi/v3/api/v1?hash=...' } } }. */
export function openApiV3Index(_schemas: Schemas): Record<string, unknown> {
  throw new PlatformError('Unimplemented', 'OpenAPI v3: not there yet');
}

/** GET /openapi/v3/<path> with path `api/v1` or `apis/apps/v1`; undefined when the group version is not served. */
export function openApiV3(_schemas: Schemas, _path: string): Record<string, unknown> | undefined {
  throw new PlatformError('Unimplemented', 'OpenAPI v3: not there yet');
}
