import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { DisposalStack } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { createImageStore } from '../image-store/index.ts';
import { connectInfrastructure, createSandboxService } from '../sandbox/index.ts';
import { startCriServer } from './cri-server.ts';
import { startStreamingServer } from './streaming/streaming-server.ts';

const log = createLogger('hypercontainer:cri');
const runtimeVersion = '0.1.0';
const networkProbeMs = 2_000;

export interface HyperdOptions {
  /** Images in `<dataDir>/images`, sandboxes in `<dataDir>/hyperd`. */
  readonly dataDir: string;
  readonly runDir: string;
  readonly cacheDir: string;
  /** Where CRI is served; default `<runDir>/hyperd.sock`. */
  readonly socketPath?: string;
  readonly kubestackSocket: string;
  readonly instancePrefix: string;
  readonly nodeName: string;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  /** Registry host to the base URL (or several, in order) asked before it. */
  readonly registryMirrors?: Readonly<Record<string, string | readonly string[]>>;
  readonly insecureRegistries?: readonly string[];
  /** First user id of the virtual machine monitors; installations on one host must not share a range. Default 200000. */
  readonly monitorUidBase?: number;
  /** Address the exec, attach and port-forward URLs are served on; default 127.0.0.1 and a free port. */
  readonly streamingAddress?: { readonly host: string; readonly port: number };
}

/** Pods get their network from kubestackd: can it be reached? */
export async function probeSocket(path: string): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    const settle = (problem: string | undefined): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.setTimeout(networkProbeMs, () => settle(`kubestackd does not answer on ${path}`));
    socket.once('connect', () => settle(undefined));
    socket.once('error', (error) => settle(`kubestackd cannot be reached on ${path}: ${error.message}`));
  });
}

function mirrorLists(mirrors: HyperdOptions['registryMirrors']): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(mirrors ?? {}).map(([host, urls]) => [host, typeof urls === 'string' ? [urls] : urls]),
  );
}

/**
 * The container runtime: image store, sandbox service, streaming and CRI, put together. When it resolves the virtual machines of an earlier
 * run are found again and CRI answers. Disposal ends the servers; virtual machines run on.
 */
export async function startHyperd(options: HyperdOptions): Promise<AsyncDisposable> {
  const socketPath = options.socketPath ?? join(options.runDir, 'hyperd.sock');
  await mkdir(dirname(socketPath), { recursive: true });
  const stack = new DisposalStack();
  try {
    const images = stack.use(
      await createImageStore({
        dataDir: join(options.dataDir, 'images'),
        registryMirrors: mirrorLists(options.registryMirrors),
        insecureRegistries: options.insecureRegistries ?? [],
      }),
    );
    const infrastructure = stack.use(connectInfrastructure(options.kubestackSocket));
    const { dataDir, runDir, cacheDir, instancePrefix, nodeName, accelerator } = options;
    const sandboxes = stack.use(
      createSandboxService({
        dataDir,
        runDir,
        cacheDir,
        instancePrefix,
        nodeName,
        accelerator,
        images,
        infrastructure,
        ...(options.monitorUidBase === undefined ? {} : { monitorUidBase: options.monitorUidBase }),
      }),
    );
    await sandboxes.recover();
    const streaming = stack.use(
      await startStreamingServer({
        sandboxes,
        address: options.streamingAddress ?? { host: '127.0.0.1', port: 0 },
      }),
    );
    stack.use(
      await startCriServer({
        socketPath,
        sandboxes,
        images,
        streaming,
        log,
        version: runtimeVersion,
        networkProblem: async () => await probeSocket(options.kubestackSocket),
      }),
    );
    log.info({ socketPath }, 'hyperd is ready');
    return stack;
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}
