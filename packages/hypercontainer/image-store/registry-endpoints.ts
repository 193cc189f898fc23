import { isIPv4 } from 'node:net';

/** One base URL content of a registry can come from. */
export interface RegistryEndpoint {
  readonly url: URL;
  /** Mirrors get no credentials: those are for the registry the image names. */
  readonly isMirror: boolean;
  readonly insecureTls: boolean;
}

function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'));
}

function origins(host: string, insecure: boolean): RegistryEndpoint[] {
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const at = (scheme: string): RegistryEndpoint => ({
    url: new URL(`${scheme}://${server}`),
    isMirror: false,
    insecureTls: insecure && scheme === 'https',
  });
  if (isLoopback(host)) return [at('http'), { ...at('https'), insecureTls: true }];
  return insecure ? [at('https'), at('http')] : [at('https')];
}

/** Where to look for images of a registry host, in order: its mirrors, then itself (plain http only on loopback or if named insecure). */
export function endpointsFor(
  host: string,
  options: {
    readonly registryMirrors: Readonly<Record<string, readonly string[]>>;
    readonly insecureRegistries: readonly string[];
  },
): readonly RegistryEndpoint[] {
  const mirrors = Object.hasOwn(options.registryMirrors, host) ? (options.registryMirrors[host] ?? []) : [];
  return [
    ...mirrors.map((text) => {
      const url = new URL(text);
      return { url, isMirror: true, insecureTls: options.insecureRegistries.includes(url.host) };
    }),
    ...origins(host, options.insecureRegistries.includes(host)),
  ];
}
