import { describe, expect, it } from 'vitest';
import { capabilitiesOf, commandLine, environment, signalNumber } from './container-process.ts';

describe('commandLine', () => {
  const image = { entrypoint: ['/entry'], command: ['default'] };
  it.each([
    [[], [], ['/entry', 'default']],
    [[], ['given'], ['/entry', 'given']],
    [['/own'], [], ['/own']],
    [['/own'], ['given'], ['/own', 'given']],
  ])('command %j, args %j: %j', (command, args, expected) => {
    expect(commandLine({ command, args }, image)).toEqual(expected);
  });
});

describe('environment', () => {
  it('lets the container win over the image over the defaults', () => {
    const env = environment(
      { env: [{ key: 'A', value: 'container' }], tty: true },
      { env: ['A=image', 'PATH=/bin', 'EMPTY=', 'broken'] },
      'web-0',
    );
    expect(env).toEqual(['PATH=/bin', 'HOSTNAME=web-0', 'TERM=xterm', 'A=container', 'EMPTY=']);
  });
});

describe('capabilitiesOf', () => {
  const of = (addCapabilities: string[], dropCapabilities: string[], privileged = false) =>
    capabilitiesOf({ privileged, addCapabilities, dropCapabilities });

  it('starts from the default list', () => {
    expect(of([], [])).toContain('CAP_CHOWN');
    expect(of([], [])).not.toContain('CAP_SYS_ADMIN');
    expect(of([], [], true)).toContain('CAP_SYS_ADMIN');
  });

  it('adds and drops, ALL and by name', () => {
    expect(of(['NET_ADMIN'], ['CAP_CHOWN'])).toContain('CAP_NET_ADMIN');
    expect(of(['NET_ADMIN'], ['CAP_CHOWN'])).not.toContain('CAP_CHOWN');
    expect(of(['NET_BIND_SERVICE'], ['ALL'])).toEqual(['CAP_NET_BIND_SERVICE']);
    expect(of(['all'], ['SYS_ADMIN'])).not.toContain('CAP_SYS_ADMIN');
    expect(of(['all'], ['SYS_ADMIN'])).toContain('CAP_BPF');
    expect(() => of(['FLY'], [])).toThrow(/CAP_FLY/);
  });
});

describe('signalNumber', () => {
  it.each([
    ['SIGTERM', 15],
    ['quit', 3],
    ['9', 9],
    ['SIGRTMIN+3', 37],
    ['RTMAX-1', 63],
  ])('%s is %d', (text, number) => expect(signalNumber(text)).toBe(number));

  it('refuses what is none', () => {
    for (const text of ['', 'SIGNOTHING', '0', '65', 'RTMIN+40']) expect(() => signalNumber(text)).toThrow();
  });
});
