import type { FieldError } from './errors.ts';

/** Collects what is wrong with the fields of an object, in the words of Kubernetes. Paths are built with `at`. */
export class FieldErrors {
  readonly list: FieldError[] = [];

  required(field: string, detail = ''): void {
    this.#add('FieldValueRequired', field, detail === '' ? 'Required value' : `Required value: ${detail}`);
  }

  invalid(field: string, value: unknown, detail: string): void {
    this.#add('FieldValueInvalid', field, `Invalid value: ${shown(value)}: ${detail}`);
  }

  /** One invalid error for each detail. */
  invalidEach(field: string, value: unknown, details: readonly string[]): void {
    for (const detail of details) this.invalid(field, value, detail);
  }

  duplicate(field: string, value: unknown): void {
    this.#add('FieldValueDuplicate', field, `Duplicate value: ${shown(value)}`);
  }

  notFound(field: string, value: unknown): void {
    this.#add('FieldValueNotFound', field, `Not found: ${shown(value)}`);
  }

  forbidden(field: string, detail: string): void {
    this.#add('FieldValueForbidden', field, `Forbidden: ${detail}`);
  }

  tooLong(field: string, maxBytes: number): void {
    this.#add('FieldValueTooLong', field, `Too long: may not be more than ${maxBytes} bytes`);
  }

  tooMany(field: string, count: number, max: number): void {
    this.#add('FieldValueTooMany', field, `Too many: ${count}: must have at most ${max} items`);
  }

  /** The value must be one of the allowed ones. */
  oneOf(field: string, value: unknown, allowed: readonly string[]): void {
    if (typeof value === 'string' && allowed.includes(value)) return;
    const supported = allowed.map((each) => JSON.stringify(each)).join(', ');
    this.#add(
      'FieldValueNotSupported',
      field,
      `Unsupported value: ${shown(value ?? '')}: supported values: ${supported}`,
    );
  }

  /** A number of at least `min`; absent is right. */
  atLeast(field: string, value: unknown, min: number): void {
    if (typeof value === 'number' && value < min) {
      this.invalid(field, value, `must be greater than or equal to ${min}`);
    }
  }

  /** A number from min to max; absent is right. */
  within(field: string, value: unknown, min: number, max: number): void {
    if (typeof value === 'number' && (value < min || value > max)) {
      this.invalid(field, value, `must be between ${min} and ${max}, inclusive`);
    }
  }

  #add(reason: FieldError['reason'], field: string, message: string): void {
    this.list.push({ reason, field, message });
  }
}

const shownMax = 512;

function shown(value: unknown): string {
  const text = value === undefined ? 'null' : JSON.stringify(value);
  return text.length > shownMax ? `${text.slice(0, shownMax)}...` : text;
}
