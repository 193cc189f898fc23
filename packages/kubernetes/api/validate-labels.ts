import { asFields, asList, asStrings, asText, isFields } from './fields.ts';
import type { FieldErrors } from './field-errors.ts';
import { labelNameErrors, labelValueErrors } from './names.ts';

/** Keys and values of labels; absent is right. */
export function validateLabels(labels: unknown, path: string, errors: FieldErrors): void {
  for (const [key, value] of Object.entries(asFields(labels))) {
    errors.invalidEach(path, key, labelNameErrors(key));
    errors.invalidEach(path, value, labelValueErrors(asText(value)));
  }
}

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** A LabelSelector; absent is right. */
export function validateLabelSelector(selector: unknown, path: string, errors: FieldErrors): void {
  if (!isFields(selector)) return;
  validateLabels(selector['matchLabels'], `${path}.matchLabels`, errors);
  asList(selector['matchExpressions']).forEach((requirement, index) => {
    const at = `${path}.matchExpressions[${index}]`;
    const key = asText(requirement['key']);
    const operator = asText(requirement['operator']);
    const values = asStrings(requirement['values']);
    if (!operators.includes(operator))
      errors.invalid(`${at}.operator`, operator, 'not a valid selector operator');
    if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
      errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    }
    if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
      errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
    errors.invalidEach(`${at}.key`, key, labelNameErrors(key));
    for (const value of values) errors.invalidEach(`${at}.values`, value, labelValueErrors(value));
  });
}

/** Whether a LabelSelector has no requirement at all. */
export function isEmptySelector(selector: unknown): boolean {
  const fields = asFields(selector);
  return (
    Object.keys(asFields(fields['matchLabels'])).length === 0 &&
    asList(fields['matchExpressions']).length === 0
  );
}
