import { isDeepStrictEqual } from 'node:util';
import { asFields, asList, asText, isFields, type Fields } from './fields.ts';
import type { FieldErrors } from './field-errors.ts';
import type { ApiObject } from './object.ts';
import { matchesLabels, matchesLabelSelector } from './selectors.ts';
import { isEmptySelector, validateLabels, validateLabelSelector } from './validate-labels.ts';
import { validatePodSpec } from './validate-pod.ts';

type Labels = Record<string, string>;

/** A pod template; `restartPolicies` are those its controller can work with. */
export function validateTemplate(
  template: unknown,
  path: string,
  restartPolicies: readonly string[],
  errors: FieldErrors,
): void {
  const fields = asFields(template);
  const metadata = asFields(fields['metadata']);
  validateLabels(metadata['labels'], `${path}.metadata.labels`, errors);
  const spec = asFields(fields['spec']);
  validatePodSpec(spec, `${path}.spec`, errors);
  const policy = asText(spec['restartPolicy']);
  const known = ['Always', 'OnFailure', 'Never'].includes(policy);
  if (known && !restartPolicies.includes(policy))
    errors.oneOf(`${path}.spec.restartPolicy`, policy, restartPolicies);
  if (asList(spec['ephemeralContainers']).length > 0) {
    errors.forbidden(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template');
  }
}

/** Selector and template of a workload: there, not empty, and fitting; the selector never changes. */
function validateSelection(
  spec: Fields,
  old: Fields | undefined,
  kind: string,
  restartPolicies: readonly string[],
  errors: FieldErrors,
): void {
  const selector = spec['selector'];
  if (!isFields(selector)) {
    errors.required('spec.selector');
  } else {
    const before = errors.list.length;
    validateLabelSelector(selector, 'spec.selector', errors);
    const sound = errors.list.length === before;
    if (isEmptySelector(selector))
      errors.invalid('spec.selector', selector, `empty selector is invalid for ${kind}`);
    else if (sound) matchTemplate(matchesLabelSelector(selector, templateLabels(spec)), spec, errors);
  }
  if (old !== undefined && !isDeepStrictEqual(selector, old['selector'])) {
    errors.invalid('spec.selector', selector ?? {}, 'field is immutable');
  }
  validateTemplate(spec['template'], 'spec.template', restartPolicies, errors);
}

function templateLabels(spec: Fields): Labels {
  return asFields(asFields(asFields(spec['template'])['metadata'])['labels']) as Labels;
}

function matchTemplate(matches: boolean, spec: Fields, errors: FieldErrors): void {
  if (matches) return;
  errors.invalid(
    'spec.template.metadata.labels',
    templateLabels(spec),
    '`selector` does not match template `labels`',
  );
}

function validateCounts(spec: Fields, fields: readonly string[], errors: FieldErrors): void {
  for (const field of fields) errors.atLeast(`spec.${field}`, spec[field], 0);
}

const always = ['Always'];

function specs(object: ApiObject, old: ApiObject | undefined): [Fields, Fields | undefined] {
  return [asFields(object['spec']), old === undefined ? undefined : asFields(old['spec'])];
}

/** Rules of kind Deployment. */
export function validateDeployment(object: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  const [spec, before] = specs(object, old);
  validateSelection(spec, before, 'deployment', always, errors);
  validateCounts(
    spec,
    ['replicas', 'minReadySeconds', 'revisionHistoryLimit', 'progressDeadlineSeconds'],
    errors,
  );
  const deadline = spec['progressDeadlineSeconds'];
  const minReady = spec['minReadySeconds'] ?? 0;
  if (typeof deadline === 'number' && typeof minReady === 'number' && deadline <= minReady) {
    errors.invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds');
  }
  const strategy = asFields(spec['strategy']);
  errors.oneOf('spec.strategy.type', strategy['type'], ['Recreate', 'RollingUpdate']);
  if (strategy['type'] === 'Recreate' && strategy['rollingUpdate'] !== undefined) {
    errors.forbidden(
      'spec.strategy.rollingUpdate',
      "may not be specified when strategy `type` is 'Recreate'",
    );
  }
  if (strategy['type'] === 'RollingUpdate') {
    validateRolling(asFields(strategy['rollingUpdate']), 'spec.strategy.rollingUpdate', errors);
  }
}

function validateRolling(rolling: Fields, path: string, errors: FieldErrors): void {
  const values = ['maxUnavailable', 'maxSurge'].map((field) => {
    const value = rolling[field];
    validateAmountOrPercent(`${path}.${field}`, value, errors);
    return value === 0 || value === '0%' || value === '0';
  });
  if (values.every(Boolean)) {
    errors.invalid(`${path}.maxUnavailable`, rolling['maxUnavailable'], 'may not be 0 when `maxSurge` is 0');
  }
  const unavailable = rolling['maxUnavailable'];
  if (typeof unavailable === 'string' && Number.parseInt(unavailable, 10) > 100) {
    errors.invalid(`${path}.maxUnavailable`, unavailable, 'must not be greater than 100%');
  }
}

function validateAmountOrPercent(field: string, value: unknown, errors: FieldErrors): void {
  if (typeof value === 'number') errors.atLeast(field, value, 0);
  else if (typeof value === 'string' && !/^\d{1,9}%$/.test(value)) {
    errors.invalid(
      field,
      value,
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%')",
    );
  }
}

/** Rules of kind ReplicaSet. */
export function validateReplicaSet(object: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  const [spec, before] = specs(object, old);
  validateSelection(spec, before, 'ReplicaSet', always, errors);
  validateCounts(spec, ['replicas', 'minReadySeconds'], errors);
}

/** Rules of kind ReplicationController. */
export function validateReplicationController(
  object: ApiObject,
  _old: ApiObject | undefined,
  errors: FieldErrors,
): void {
  const spec = asFields(object['spec']);
  const selector = asFields(spec['selector']) as Labels;
  if (Object.keys(selector).length === 0) errors.required('spec.selector');
  else matchTemplate(matchesLabels(selector, templateLabels(spec)), spec, errors);
  validateLabels(selector, 'spec.selector', errors);
  validateCounts(spec, ['replicas', 'minReadySeconds'], errors);
  if (isFields(spec['template'])) validateTemplate(spec['template'], 'spec.template', always, errors);
  else errors.required('spec.template');
}

const changeableOfStatefulSet = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
];

/** Rules of kind StatefulSet. */
export function validateStatefulSet(
  object: ApiObject,
  old: ApiObject | undefined,
  errors: FieldErrors,
): void {
  const [spec, before] = specs(object, old);
  validateSelection(spec, undefined, 'StatefulSet', always, errors);
  validateCounts(spec, ['replicas', 'minReadySeconds', 'revisionHistoryLimit'], errors);
  errors.oneOf('spec.podManagementPolicy', spec['podManagementPolicy'], ['OrderedReady', 'Parallel']);
  errors.oneOf('spec.updateStrategy.type', asFields(spec['updateStrategy'])['type'], [
    'RollingUpdate',
    'OnDelete',
  ]);
  if (before === undefined) return;
  const without = (fields: Fields): Fields =>
    Object.fromEntries(Object.entries(fields).filter(([name]) => !changeableOfStatefulSet.includes(name)));
  if (!isDeepStrictEqual(without(spec), without(before))) {
    const list = changeableOfStatefulSet.map((field) => `'${field}'`).join(', ');
    errors.forbidden('spec', `updates to statefulset spec for fields other than ${list} are forbidden`);
  }
}

/** Rules of kind DaemonSet. */
export function validateDaemonSet(object: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  const [spec, before] = specs(object, old);
  validateSelection(spec, before, 'daemonset', always, errors);
  validateCounts(spec, ['minReadySeconds', 'revisionHistoryLimit'], errors);
  const strategy = asFields(spec['updateStrategy']);
  errors.oneOf('spec.updateStrategy.type', strategy['type'], ['RollingUpdate', 'OnDelete']);
  if (strategy['type'] === 'RollingUpdate') {
    validateRolling(asFields(strategy['rollingUpdate']), 'spec.updateStrategy.rollingUpdate', errors);
  }
}

const untilDone = ['OnFailure', 'Never'];

/** Rules of kind Job. Its selector is made by the server unless `manualSelector` is set. */
export function validateJob(object: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  const [spec, before] = specs(object, old);
  validateJobSpec(spec, 'spec', errors);
  const selector = spec['selector'];
  if (isFields(selector)) {
    validateLabelSelector(selector, 'spec.selector', errors);
    matchTemplate(matchesLabelSelector(selector, templateLabels(spec)), spec, errors);
  }
  if (before === undefined) return;
  for (const field of ['selector', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex']) {
    if (!isDeepStrictEqual(spec[field], before[field])) {
      errors.invalid(`spec.${field}`, spec[field] ?? null, 'field is immutable');
    }
  }
  if (spec['completionMode'] !== 'Indexed' && spec['completions'] !== before['completions']) {
    errors.invalid('spec.completions', spec['completions'] ?? null, 'field is immutable');
  }
  if (!isDeepStrictEqual(spec['template'], before['template'])) {
    errors.invalid('spec.template', spec['template'], 'field is immutable');
  }
}

function validateJobSpec(spec: Fields, path: string, errors: FieldErrors): void {
  for (const field of [
    'parallelism',
    'completions',
    'backoffLimit',
    'activeDeadlineSeconds',
    'ttlSecondsAfterFinished',
  ]) {
    errors.atLeast(`${path}.${field}`, spec[field], 0);
  }
  if (spec['completionMode'] !== undefined) {
    errors.oneOf(`${path}.completionMode`, spec['completionMode'], ['NonIndexed', 'Indexed']);
  }
  if (spec['completionMode'] === 'Indexed' && spec['completions'] === undefined) {
    errors.required(`${path}.completions`, 'when completion mode is Indexed');
  }
  validateTemplate(spec['template'], `${path}.template`, untilDone, errors);
}

/** Rules of kind CronJob. */
export function validateCronJob(object: ApiObject, _old: ApiObject | undefined, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  const schedule = asText(spec['schedule']);
  if (schedule === '') errors.required('spec.schedule');
  else if (!isSchedule(schedule)) {
    errors.invalid(
      'spec.schedule',
      schedule,
      'must be five fields: minute hour day-of-month month day-of-week',
    );
  }
  errors.oneOf('spec.concurrencyPolicy', spec['concurrencyPolicy'], ['Allow', 'Forbid', 'Replace']);
  validateCounts(
    spec,
    ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'],
    errors,
  );
  validateJobSpec(asFields(asFields(spec['jobTemplate'])['spec']), 'spec.jobTemplate.spec', errors);
  if ((object.metadata.name ?? '').length > 52) {
    errors.invalid('metadata.name', object.metadata.name, 'must be no more than 52 characters');
  }
}

const scheduleNames = new Set([
  '@yearly',
  '@annually',
  '@monthly',
  '@weekly',
  '@daily',
  '@midnight',
  '@hourly',
]);
/** Ranges of the five fields. */
const scheduleRanges: readonly (readonly [min: number, max: number, names: readonly string[]])[] = [
  [0, 59, []],
  [0, 23, []],
  [1, 31, []],
  [1, 12, ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']],
  [0, 7, ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']],
];

function isSchedule(text: string): boolean {
  if (scheduleNames.has(text) || /^@every (\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text)) return true;
  const fields = text.trim().split(/\s+/);
  return fields.length === 5 && fields.every((field, index) => isScheduleField(field, index));
}

function isScheduleField(field: string, index: number): boolean {
  const [min, max, names] = scheduleRanges[index] ?? [0, 0, []];
  const numberOf = (part: string): number => {
    const named = names.indexOf(part.toLowerCase());
    if (named >= 0) return named + min;
    return /^\d{1,2}$/.test(part) ? Number(part) : NaN;
  };
  return field.split(',').every((part) => {
    const match = /^(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (match === null || match[4] === '0' || match[4] === '00') return false;
    if (match[1] !== undefined) return true;
    const first = numberOf(match[2] ?? '');
    const last = match[3] === undefined ? first : numberOf(match[3]);
    return first >= min && last <= max && first <= last;
  });
}
