export type { ApiObject, JsonObject, JsonValue, ObjectMeta, OwnerReference } from './object.ts';
export type { Kind, Subresource, Verb } from './kind.ts';
export { apiVersionOf, definitionName, findKind, findResource, kinds, qualifiedResource } from './kinds.ts';
export {
  badRequest,
  invalid,
  statusError,
  statusOf,
  type FieldError,
  type Status,
  type StatusDetails,
} from './errors.ts';
export { loadSchemas, type Schema, type Schemas } from './schemas.ts';
export {
  decodeObject,
  deleteOptionsKind,
  parseJson,
  parseJsonValue,
  type DecodedKind,
  type FieldValidation,
} from './decode.ts';
export { defaultObject } from './defaults.ts';
export { validateObject, type ValidateOptions } from './validate.ts';
export { applyPatch, patchTypes, type PatchType } from './patch.ts';
export { openApiV2, openApiV2Protobuf, openApiV3, openApiV3Index } from './openapi.ts';
export {
  formatLabelSelector,
  matchesLabels,
  matchesLabelSelector,
  parseFieldSelector,
  parseLabelSelector,
  type FieldSelector,
  type LabelSelector,
  type LabelSelectorRequirement,
  type LabelTest,
} from './selectors.ts';
export {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityToMilli,
  quantityToNumber,
  subtractQuantities,
  tryParseQuantity,
  type Quantity,
} from './quantity.ts';
export { formatAge, formatDuration } from './duration.ts';
export { formatMicroTimestamp, formatTimestamp, parseTimestamp } from './timestamp.ts';
