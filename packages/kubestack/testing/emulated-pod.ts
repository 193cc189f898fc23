import { run, runText, spawnChild, type ChildProcess } from '@hypernetes/foundation/process';
import { basename } from 'node:path';

/** What of a port an emulated pod needs. */
export interface PodPort {
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly gateway: string;
  readonly tap: { readonly networkNamespace: string; readonly name: string };
}

/**
 * For tests: a network namespace in the place of a virtual machine. The port's tap is replaced by one end of a veth of the same name, so that
 * the same filters judge what the pod sends.
 */
export class EmulatedPod implements AsyncDisposable {
  readonly namespace: string;
  readonly address: string;
  readonly #children: ChildProcess[] = [];

  private constructor(namespace: string, address: string) {
    this.namespace = namespace;
    this.address = address;
  }

  static async plug(namespace: string, port: PodPort): Promise<EmulatedPod> {
    const network = basename(port.tap.networkNamespace);
    const { name } = port.tap;
    const script = [
      'set -e',
      `ip netns add ${namespace}`,
      `ip -n ${network} link delete dev ${name}`,
      `ip -n ${network} link add name ${name} type veth peer name eth0 netns ${namespace}`,
      `ip -n ${network} link set dev ${name} master br0`,
      `ip -n ${network} link set dev ${name} type bridge_slave learning off flood off`,
      `ip -n ${network} link set dev ${name} up`,
      `bridge -n ${network} fdb replace ${port.mac} dev ${name} master static`,
      `ip -n ${namespace} link set dev eth0 address ${port.mac}`,
      `ip -n ${namespace} link set dev lo up`,
      `ip -n ${namespace} link set dev eth0 up`,
      `ip -n ${namespace} address add ${port.addresses[0] ?? ''} dev eth0`,
      `ip -n ${namespace} route add default via ${port.gateway}`,
    ];
    await run('sh', [], { input: script.join('\n') });
    return new EmulatedPod(namespace, (port.addresses[0] ?? '').split('/')[0] ?? '');
  }

  /** Runs a program in the pod; its standard output. */
  async run(command: string, args: readonly string[]): Promise<string> {
    return await runText('nsenter', [`--net=/run/netns/${this.namespace}`, command, ...args], {
      timeoutMs: 20_000,
    });
  }

  /** True when the address answers an echo request within half a second. */
  async canPing(address: string, from?: string): Promise<boolean> {
    const source = from === undefined ? [] : ['-I', from];
    const result = await run(
      'nsenter',
      [`--net=/run/netns/${this.namespace}`, 'ping', '-c', '1', '-W', '0.5', ...source, address],
      { allowExitCodes: [1, 2] },
    );
    return result.exitCode === 0;
  }

  /** Runs JavaScript in the pod; what it writes to standard output. */
  async evaluate(source: string): Promise<string> {
    return (await this.run(process.execPath, ['-e', source])).trim();
  }

  /** Starts JavaScript that serves something; returns when it has written its first line. */
  async serve(source: string): Promise<void> {
    const child = spawnChild(
      'nsenter',
      [`--net=/run/netns/${this.namespace}`, process.execPath, '-e', source],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    this.#children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`server in the pod ended with ${code ?? 'a signal'}`)));
    });
  }

  /** Ends what serves. */
  async stopServing(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServing();
    await run('ip', ['netns', 'delete', this.namespace], { allowExitCodes: [1] });
  }
}
