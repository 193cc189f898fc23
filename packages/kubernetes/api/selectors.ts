import { PlatformError } from '@hypernetes/foundation/errors';
import type { Kind } from './kind.ts';
import type { ApiObject } from './object.ts';

/** meta/v1 LabelSelector. */
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export type LabelTest = (labels: Readonly<Record<string, string>> | undefined) => boolean;

/** `labelSelector` query parameter: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`. Throws a 400. */
export function parseLabelSelector(_text: string): LabelTest {
  throw new PlatformError('Unimplemented', 'label selectors: not there yet');
}

/** Whether a LabelSelector object selects the labels: an empty one everything, an absent one nothing. */
export function matchesLabelSelector(
  _selector: LabelSelector | undefined,
  _labels: Readonly<Record<string, string>> | undefined,
): boolean {
  throw new PlatformError('Unimplemented', 'label selectors: not there yet');
}

export interface FieldSelector {
  matches(object: ApiObject): boolean;
  /** The value `metadata.name` must equal, if the selector says so: a get instead of a scan. */
  readonly name?: string;
}

/** `fieldSelector` query parameter: `status.phase!=Running,spec.nodeName=a`. A field the kind does not support is a 400. */
export function parseFieldSelector(_kind: Kind, _text: string): FieldSelector {
  throw new PlatformError('Unimplemented', 'field selectors: not there yet');
}
