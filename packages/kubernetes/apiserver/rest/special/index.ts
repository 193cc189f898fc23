import type { SpecialHandler } from '../resource-handler.ts';
import { accessReviewHandlers } from './access-reviews.ts';
import { namespaceHandlers } from './namespace-finalize.ts';
import { podHandlers } from './pod-subresources.ts';
import { scaleHandler } from './scale.ts';
import { tokenHandlers } from './tokens.ts';
import type { SpecialDependencies } from './dependencies.ts';

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
