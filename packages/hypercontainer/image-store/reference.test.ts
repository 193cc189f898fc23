import { expect, test } from 'vitest';
import { formatReference, parseReference } from './reference.ts';

const digest = `sha256:${'0a'.repeat(32)}`;

test.each([
  ['nginx', 'docker.io/library/nginx:latest'],
  ['nginx:1.27', 'docker.io/library/nginx:1.27'],
  ['grafana/grafana', 'docker.io/grafana/grafana:latest'],
  ['docker.io/nginx', 'docker.io/library/nginx:latest'],
  ['index.docker.io/library/nginx', 'docker.io/library/nginx:latest'],
  ['localhost/x', 'localhost/x:latest'],
  ['127.0.0.1:5000/busybox:1', '127.0.0.1:5000/busybox:1'],
  ['registry.example:5000/a/b/c', 'registry.example:5000/a/b/c:latest'],
  ['[::1]:5000/a', '[::1]:5000/a:latest'],
  [`nginx@${digest}`, `docker.io/library/nginx@${digest}`],
  [`nginx:1.2@${digest}`, `docker.io/library/nginx@${digest}`],
  ['a/b__c-d.e', 'docker.io/a/b__c-d.e:latest'],
])('%s is %s', (text, normal) => {
  expect(formatReference(parseReference(text))).toBe(normal);
  expect(formatReference(parseReference(normal))).toBe(normal);
});

test.each([
  '',
  'NGINX',
  'nginx:',
  'nginx:a b',
  'a//b',
  '/a',
  'a/',
  '../etc',
  'x/../y',
  'nginx@sha256:abc',
  `nginx@md5:${'0'.repeat(32)}`,
  'host:99999999/x',
  '-bad.example/x',
  'a'.repeat(2000),
  'ngi\nnx',
])('%j is refused', (text) => {
  expect(() => parseReference(text)).toThrow(expect.objectContaining({ reason: 'Invalid' }));
});
