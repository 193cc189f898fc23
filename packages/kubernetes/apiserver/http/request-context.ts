import type { Logger } from '@hypernetes/foundation/logging';
import type { UserInfo } from '../authentication/user.ts';
import type { RequestInfo } from './request-info.ts';
import type { HttpRequest, HttpResponse } from './responder.ts';

/** One request on its way through the server. */
export interface RequestContext {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  /** Fires when the client has gone or the server stops. */
  readonly signal: AbortSignal;
  /** Shown to the user by kubectl: "Warning: ...". */
  readonly warnings: string[];
  readonly log: Logger;
}
