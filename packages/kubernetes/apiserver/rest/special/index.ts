import type { Clock } from '@hypernetes/foundation/lifecycle';
import type { Schemas } from '../../../api/index.ts';
import type { Authenticator } from '../../authentication/authenticator.ts';
import type { ServiceAccountTokens } from '../../authentication/service-account-tokens.ts';
import type { Authorizer } from '../../authorization/authorizer.ts';
import type { HttpProxy } from '../../proxy/http-proxy.ts';
import type { KubeletLocator } from '../../proxy/kubelet-locator.ts';
import type { Catalogue } from '../../registry/catalogue.ts';
import type { SpecialHandler } from '../resource-handler.ts';
import { accessReviewHandlers } from './access-reviews.ts';
import { namespaceHandlers } from './namespace-finalize.ts';
import { podHandlers } from './pod-subresources.ts';
import { scaleHandler } from './scale.ts';
import { tokenHandlers } from './tokens.ts';

/** What special handlers work with. */
export interface SpecialDependencies {
  readonly schemas: Schemas;
  readonly catalogue: Catalogue;
  readonly authorizer: Authorizer;
  readonly authenticator: Authenticator;
  readonly tokens: ServiceAccountTokens;
  readonly locator: KubeletLocator;
  readonly proxy: HttpProxy;
  readonly clock: Clock;
}

/** Handlers by `<group>/<plural>/<subresource>`: subresources and kinds that are answered instead of stored. */
export function makeSpecialHandlers(dependencies: SpecialDependencies): ReadonlyMap<string, SpecialHandler> {
  const scale = dependencies.catalogue
    .all()
    .map(({ registration }) => registration.kind)
    .filter((kind) => kind.subresources.some((subresource) => subresource.name === 'scale'))
    .map((kind): [string, SpecialHandler] => [
      `${kind.group}/${kind.plural}/scale`,
      scaleHandler(dependencies),
    ]);
  return new Map([
    ...scale,
    ...accessReviewHandlers(dependencies),
    ...namespaceHandlers(dependencies),
    ...podHandlers(dependencies),
    ...tokenHandlers(dependencies),
  ]);
}
