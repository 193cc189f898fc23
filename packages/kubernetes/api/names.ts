// The syntax of names in Kubernetes. Each function answers what is wrong with the text; an empty list: it is right.

const labelMax = 63;
const subdomainMax = 253;

const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const dns1035Label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const tooLong = (max: number): string => `must be no more than ${max} characters`;

/** RFC 1123 label: `my-name`. Namespaces, networks, container names. */
export function dnsLabelErrors(text: string): string[] {
  const errors = text.length > labelMax ? [tooLong(labelMax)] : [];
  if (!dnsLabel.test(text)) {
    errors.push(
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " +
        `alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
    );
  }
  return errors;
}

/** RFC 1123 subdomain: `example.com`. Names of most objects. */
export function dnsSubdomainErrors(text: string): string[] {
  const errors = text.length > subdomainMax ? [tooLong(subdomainMax)] : [];
  if (text.length > 1024 || !dnsSubdomain.test(text)) {
    errors.push(
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end " +
        `with an alphanumeric character (e.g. 'example.com', regex used for validation is ` +
        `'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    );
  }
  return errors;
}

/** RFC 1035 label: starts with a letter. Services. */
export function dns1035LabelErrors(text: string): string[] {
  const errors = text.length > labelMax ? [tooLong(labelMax)] : [];
  if (!dns1035Label.test(text)) {
    errors.push(
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end " +
        `with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
    );
  }
  return errors;
}

/** Names in RBAC: anything that can be one segment of a path. */
export function pathSegmentErrors(text: string): string[] {
  if (text === '.' || text === '..') return [`may not be '${text}'`];
  return ['/', '%'].filter((part) => text.includes(part)).map((part) => `may not contain '${part}'`);
}

/** Key of a label or annotation, finalizer, condition type: `example.com/name` or `name`. */
export function labelNameErrors(text: string): string[] {
  const parts = text.split('/');
  const name = parts.at(-1) ?? '';
  if (parts.length > 2) {
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain prefix and '/' " +
        `(e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') errors.push('prefix part must be non-empty');
    else errors.push(...dnsSubdomainErrors(prefix).map((error) => `prefix part ${error}`));
  }
  if (name === '') errors.push('name part must be non-empty');
  else if (name.length > labelMax) errors.push(`name part ${tooLong(labelMax)}`);
  if (name !== '' && !qualifiedName.test(name)) {
    errors.push(
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
        `(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    );
  }
  return errors;
}

export function labelValueErrors(text: string): string[] {
  const errors = text.length > labelMax ? [tooLong(labelMax)] : [];
  if (!labelValue.test(text)) {
    errors.push(
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
        `alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is ` +
        `'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
    );
  }
  return errors;
}

/** Key in a ConfigMap or Secret: a file name. */
export function configMapKeyErrors(text: string): string[] {
  const errors = text.length > subdomainMax ? [tooLong(subdomainMax)] : [];
  if (!/^[-._a-zA-Z0-9]+$/.test(text)) {
    errors.push(
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or " +
        `'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
    );
  }
  if (text === '.' || text === '..') errors.push(`must not be '${text}'`);
  else if (text.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}

/** Name of an environment variable: printable ASCII without '='. */
export function environmentNameErrors(text: string): string[] {
  if (/^[\x20-\x3c\x3e-\x7e]+$/.test(text)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Name of a container port (IANA service name): at most 15 characters, one letter among them. */
export function portNameErrors(text: string): string[] {
  const errors: string[] = [];
  if (text.length > 15) errors.push('must be no more than 15 characters');
  if (!/^[a-z0-9-]+$/.test(text))
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(text)) errors.push('must contain at least one letter (a-z)');
  if (text.includes('--')) errors.push('must not contain consecutive hyphens');
  if (text.startsWith('-') || text.endsWith('-')) errors.push('must not begin or end with a hyphen');
  return errors;
}
