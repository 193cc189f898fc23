/** Part of an object whose fields are not known to the compiler. */
export type Fields = Record<string, unknown>;

/** The object at a place that holds one; an empty one, not connected, when it holds nothing. */
export function asFields(value: unknown): Fields {
  return isFields(value) ? value : {};
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The objects of a list field; absent: none. */
export function asList(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

/** The strings of a list field; absent: none. */
export function asStrings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

/** The string at a place; absent: ''. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Sets a field that is absent, or empty where the default is a text: empty text is Kubernetes' way to say unset. */
export function setDefault(target: Fields, name: string, value: unknown): void {
  const before = target[name];
  const unset = before === undefined || before === null || (before === '' && typeof value === 'string');
  if (unset && value !== undefined) target[name] = value;
}

/** Sets an own field even when it is called like the accessor of the prototype. */
export function setField(target: Fields, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[key] = value;
  }
}
