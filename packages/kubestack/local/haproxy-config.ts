import { createHash } from 'node:crypto';
import type { Listener, Member } from '../provider-api/index.ts';
import { shortName } from './names.ts';

/** What the proxy of one network balances. */
export interface ProxyConfigInput {
  /** Path of the runtime API's socket. */
  readonly socketPath: string;
  readonly loadBalancers: readonly {
    readonly uid: string;
    readonly name: string;
    readonly addresses: readonly string[];
    readonly listeners: readonly Listener[];
    readonly affinityTimeoutS: number;
    readonly sourceRanges: readonly string[];
  }[];
}

export interface ProxyConfig {
  /** The whole configuration file. */
  readonly text: string;
  /** Digest of everything but the members: equal digests differ by what the runtime API can change. */
  readonly structure: string;
  /** Backend name to its servers, by server name. */
  readonly backends: ReadonlyMap<string, ReadonlyMap<string, Member>>;
}

/** How a member's health is checked; given again to servers added at run time, which take no defaults. */
export const serverOptions = 'check inter 2s fall 2 rise 1';

export function serverName(member: Member): string {
  return `m_${member.address.replaceAll('.', '-')}_${member.port}`;
}

function backendName(uid: string, listener: Listener): string {
  return `b_${shortName(uid)}_${listener.port}`;
}

function frontendLines(
  balancer: ProxyConfigInput['loadBalancers'][number],
  listener: Listener,
  backend: string,
): readonly string[] {
  return [
    `frontend f_${backend.slice(2)}`,
    ...balancer.addresses.map((address) => `  bind ${address}:${listener.port}`),
    ...(balancer.sourceRanges.length === 0
      ? []
      : [`  tcp-request connection reject unless { src ${balancer.sourceRanges.join(' ')} }`]),
    `  default_backend ${backend}`,
  ];
}

function backendLines(affinityTimeoutS: number, backend: string): readonly string[] {
  return [
    `backend ${backend}`,
    // Servers come and go at run time, which needs an algorithm that can change.
    '  balance roundrobin',
    ...(affinityTimeoutS === 0
      ? []
      : [`  stick-table type ip size 100k expire ${affinityTimeoutS}s`, '  stick on src']),
  ];
}

function globalLines(socketPath: string, structure: string): readonly string[] {
  return [
    'global',
    // Read back over the runtime API: tells which configuration a worker runs.
    `  description ${structure}`,
    '  user haproxy',
    '  group haproxy',
    '  maxconn 8192',
    `  stats socket ${socketPath} mode 600 level admin expose-fd listeners`,
    '  hard-stop-after 1h',
    'defaults',
    '  mode tcp',
    '  maxconn 8192',
    '  retries 2',
    '  option redispatch',
    '  timeout connect 3s',
    '  timeout client 1h',
    '  timeout server 1h',
    '  timeout check 2s',
    '  timeout client-fin 30s',
    '  timeout server-fin 30s',
  ];
}

/** The configuration of a network's HAProxy; UDP listeners are not its business. Equal input gives equal text. */
export function proxyConfig(input: ProxyConfigInput): ProxyConfig {
  const backends = new Map<string, ReadonlyMap<string, Member>>();
  const withoutMembers: string[] = [];
  const whole: string[] = [];
  for (const balancer of input.loadBalancers) {
    for (const listener of balancer.listeners) {
      if (listener.protocol !== 'TCP') continue;
      const backend = backendName(balancer.uid, listener);
      const servers = new Map(listener.members.map((member) => [serverName(member), member]));
      const lines = [
        ...frontendLines(balancer, listener, backend),
        ...backendLines(balancer.affinityTimeoutS, backend),
      ];
      backends.set(backend, servers);
      withoutMembers.push(...lines);
      whole.push(
        ...lines,
        ...[...servers].map(
          ([name, member]) => `  server ${name} ${member.address}:${member.port} ${serverOptions}`,
        ),
      );
    }
  }
  const structure = createHash('sha256')
    .update([...globalLines(input.socketPath, ''), ...withoutMembers].join('\n'))
    .digest('hex')
    .slice(0, 16);
  const text = [...globalLines(input.socketPath, structure), ...whole].join('\n') + '\n';
  return { text, structure, backends };
}

/** A server as the running proxy shows it. */
export interface RunningServer {
  readonly backend: string;
  readonly name: string;
  readonly inMaintenance: boolean;
}

/** Parses `show servers state` (HAProxy management guide 9.3). Columns are found by their names. */
export function parseServersState(text: string): readonly RunningServer[] {
  const lines = text.split('\n');
  const columns =
    lines
      .find((line) => line.startsWith('# '))
      ?.slice(2)
      .split(' ') ?? [];
  const column = (fields: readonly string[], name: string): string => fields[columns.indexOf(name)] ?? '';
  return lines
    .filter((line) => line !== '' && !line.startsWith('#') && line.includes(' '))
    .map((line) => line.split(' '))
    .map((fields) => ({
      backend: column(fields, 'be_name'),
      name: column(fields, 'srv_name'),
      // Bit 0 of the administrative state: forced maintenance.
      inMaintenance: (Number(column(fields, 'srv_admin_state')) & 1) === 1,
    }));
}

/** Commands of the runtime API that bring the running servers in line; commands marked `mayFail` can meet open connections. */
export function planServers(
  wanted: ProxyConfig['backends'],
  running: readonly RunningServer[],
): readonly { readonly command: string; readonly mayFail: boolean }[] {
  const present = new Map(running.map((server) => [`${server.backend}/${server.name}`, server]));
  const commands: { command: string; mayFail: boolean }[] = [];
  const must = (command: string): void => void commands.push({ command, mayFail: false });
  for (const [backend, servers] of wanted) {
    for (const [name, member] of servers) {
      const path = `${backend}/${name}`;
      const before = present.get(path);
      if (before === undefined) {
        must(`add server ${path} ${member.address}:${member.port} ${serverOptions}`);
        must(`enable health ${path}`);
      }
      if (before?.inMaintenance !== false) must(`set server ${path} state ready`);
    }
  }
  for (const server of running) {
    if (wanted.get(server.backend)?.has(server.name) !== false) continue;
    const path = `${server.backend}/${server.name}`;
    // New connections go elsewhere at once, open ones end by themselves; deletion waits for them and is tried again at the next change.
    if (!server.inMaintenance) must(`set server ${path} state maint`);
    commands.push({ command: `del server ${path}`, mayFail: true });
  }
  return commands;
}
