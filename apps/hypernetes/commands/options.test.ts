import { expect, it } from 'vitest';
import { parseSize } from './options.ts';
import { mergeSettings } from './up.ts';
import { defaultSettings, installationAt } from '../config/installation.ts';

it.each([
  ['1Gi', 1n << 30n],
  ['500M', 500_000_000n],
  ['4096', 4096n],
])('parseSize %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

it.each(['', '0', '-1Gi', '1.5Gi', 'Gi', '1GiB', '1 Gi'])('parseSize refuses "%s"', (text) => {
  expect(() => parseSize(text)).toThrow('must be a whole number');
});

it('flags go over kept settings, mirrors are parsed, bad values are refused', () => {
  const merged = mergeSettings(defaultSettings, {
    accel: 'tcg',
    registryMirror: ['docker.io=http://127.0.0.1:5000'],
    apiPort: '7443',
  });
  expect(merged).toEqual({
    ...defaultSettings,
    accel: 'tcg',
    registryMirrors: { 'docker.io': 'http://127.0.0.1:5000' },
    apiPort: 7443,
  });
  expect(mergeSettings(merged, {})).toEqual(merged);
  expect(() => mergeSettings(defaultSettings, { registryMirror: ['docker.io'] })).toThrow('HOST=URL');
  expect(() => mergeSettings(defaultSettings, { apiPort: '70000' })).toThrow('port number');
});

it('another data directory has another instance prefix and its own run folder', () => {
  expect(installationAt(undefined)).toMatchObject({ instancePrefix: 'hn', runDir: '/run/hypernetes' });
  const other = installationAt('/tmp/x');
  expect(other.instancePrefix).toMatch(/^hn[0-9a-f]{4}$/);
  expect(other.runDir).toBe('/tmp/x/run');
  expect(other.monitorUidBase).not.toBe(installationAt(undefined).monitorUidBase);
  expect(() => installationAt(`/${'x'.repeat(60)}`)).toThrow('too long');
});
