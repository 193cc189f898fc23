import type { ApiObject } from '../../api/index.ts';

/** Fields of events.k8s.io/v1 Event beside those of the core Event they are stored as. */
const renamed = [
  ['note', 'message'],
  ['regarding', 'involvedObject'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedCount', 'count'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedSource', 'source'],
] as const;

function rename(
  object: ApiObject,
  apiVersion: string,
  pairs: readonly (readonly [string, string])[],
): ApiObject {
  const names = new Map(pairs);
  const fields = Object.entries(object).map(([name, value]) => [names.get(name) ?? name, value] as const);
  return { ...(Object.fromEntries(fields) as ApiObject), apiVersion };
}

/** An events.k8s.io Event as the core Event that is stored. */
export function toCoreEvent(object: ApiObject): ApiObject {
  return rename(object, 'v1', renamed);
}

/** A stored core Event as events.k8s.io shows it. */
export function fromCoreEvent(object: ApiObject): ApiObject {
  return rename(
    object,
    'events.k8s.io/v1',
    renamed.map(([own, core]) => [core, own] as const),
  );
}
