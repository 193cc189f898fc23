import { describe, expect, it } from 'vitest';
import type { Secret } from '../../client/index.ts';
import { defaultPullPolicy, parseImageReference } from './image-reference.ts';
import { findCredentials } from './pull-secrets.ts';

describe('parseImageReference', () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  it.each([
    ['nginx', 'docker.io', 'library/nginx', undefined, 'Always'],
    ['nginx:1.25', 'docker.io', 'library/nginx', '1.25', 'IfNotPresent'],
    ['nginx:latest', 'docker.io', 'library/nginx', 'latest', 'Always'],
    ['team/app', 'docker.io', 'team/app', undefined, 'Always'],
    ['localhost/app:v1', 'localhost', 'app', 'v1', 'IfNotPresent'],
    ['127.0.0.1:5000/a/b:v1', '127.0.0.1:5000', 'a/b', 'v1', 'IfNotPresent'],
    [`ghcr.io/a/b@${digest}`, 'ghcr.io', 'a/b', undefined, 'IfNotPresent'],
  ])('reads %s', (text, registry, repository, tag, policy) => {
    const reference = parseImageReference(text);
    expect(reference).toMatchObject({ registry, repository, tag });
    expect(defaultPullPolicy(reference)).toBe(policy);
  });

  it.each([
    '',
    'UPPER',
    'a b',
    'nginx:',
    'nginx:tag with space',
    '-bad/x',
    'a@sha256:12',
    'a//b',
    'a@b@c',
    '../x',
    'x'.repeat(600),
  ])('refuses %j', (text) => {
    expect(() => parseImageReference(text)).toThrow("couldn't parse image name");
  });
});

function secretOf(auths: unknown, key = '.dockerconfigjson'): Secret {
  const config = key === '.dockercfg' ? auths : { auths };
  const data = { [key]: Buffer.from(JSON.stringify(config)).toString('base64') };
  return { metadata: { name: 's', namespace: 'n' }, data };
}

const auth = (user: string) => ({ auth: Buffer.from(`${user}:secret:with:colons`).toString('base64') });

describe('findCredentials', () => {
  it.each([
    ['nginx', 'https://index.docker.io/v1/'],
    ['nginx', 'docker.io'],
    ['ghcr.io/a/b', 'ghcr.io'],
    ['ghcr.io/a/b', 'https://ghcr.io/a'],
    ['x.example.org/a', '*.example.org'],
    ['127.0.0.1:5000/a', '127.0.0.1:5000'],
  ])('gives %s what stands under %s', (image, key) => {
    const found = findCredentials([secretOf({ [key]: auth('me') })], parseImageReference(image));
    expect(found).toMatchObject({ username: 'me', password: 'secret:with:colons' });
  });

  it.each([
    ['nginx', 'ghcr.io'],
    ['ghcr.io/ab/c', 'ghcr.io/a'],
    ['a.b.example.org/x', '*.example.org'],
    ['evilghcr.io/x', 'ghcr.io'],
    ['exampleXorg:1/x', 'example.org:1'],
  ])('gives %s nothing of %s', (image, key) => {
    expect(findCredentials([secretOf({ [key]: auth('me') })], parseImageReference(image))).toBeUndefined();
  });

  it('prefers the more specific, reads the old form, and passes over garbage', () => {
    const secrets: Secret[] = [
      { metadata: { name: 'bad' }, data: { '.dockerconfigjson': 'bm90IGpzb24=' } },
      secretOf(null),
      secretOf({ 'ghcr.io': 7 }),
      secretOf({ 'ghcr.io': auth('general') }),
      secretOf({ 'ghcr.io/a': { username: 'special', password: 'p' } }, '.dockercfg'),
    ];
    expect(findCredentials(secrets, parseImageReference('ghcr.io/a/b'))).toMatchObject({
      username: 'special',
    });
    expect(findCredentials(secrets, parseImageReference('ghcr.io/c'))).toMatchObject({ username: 'general' });
  });
});
