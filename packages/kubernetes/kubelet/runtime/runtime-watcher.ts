import { toPlatformError } from '@hypernetes/foundation/errors';
import { sleep } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import type { CriClient } from './cri-client.ts';
import { criLabels } from './labels.ts';

const log = createLogger('kubelet:runtime');
/** With the event stream the list only catches what the stream lost. */
const relistWithEventsMs = 10_000;
const relistAloneMs = 1_000;
const reconnectMs = 1_000;

/**
 * Notices what changes in the runtime: by its event stream, and by listing everything now and then. `onChange` gets the uid of each pod
 * whose sandboxes or containers changed; `uids` are all pods the runtime has something of.
 */
export class RuntimeWatcher implements AsyncDisposable {
  readonly #cri: CriClient;
  readonly #onChange: (podUid: string) => void;
  readonly #abort = new AbortController();
  readonly #loops: Promise<void>[] = [];
  /** Sandbox or container id: uid and state. */
  #known = new Map<string, { readonly podUid: string; readonly state: string }>();
  #streaming = false;

  constructor(cri: CriClient, onChange: (podUid: string) => void) {
    this.#cri = cri;
    this.#onChange = onChange;
  }

  start(): void {
    this.#loops.push(this.#follow(), this.#relistForever());
  }

  get podUids(): ReadonlySet<string> {
    return new Set([...this.#known.values()].map(({ podUid }) => podUid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#loops);
  }

  /** Lists once; throws when the runtime does not answer. */
  async relist(): Promise<void> {
    const [sandboxes, containers] = await Promise.all([
      this.#cri.listSandboxes(),
      this.#cri.listContainers(),
    ]);
    const found = new Map<string, { readonly podUid: string; readonly state: string }>();
    for (const { id, labels, metadata, state } of sandboxes) {
      const podUid = labels[criLabels.podUid] ?? metadata?.uid ?? '';
      found.set(id, { podUid, state: `sandbox ${state}` });
    }
    for (const { id, labels, state } of containers) {
      found.set(id, { podUid: labels[criLabels.podUid] ?? '', state: `container ${state}` });
    }
    const changed = new Set<string>();
    for (const [id, { podUid, state }] of found) {
      if (this.#known.get(id)?.state !== state) changed.add(podUid);
    }
    for (const [id, { podUid }] of this.#known) if (!found.has(id)) changed.add(podUid);
    this.#known = found;
    for (const podUid of changed) if (podUid !== '') this.#onChange(podUid);
  }

  async #relistForever(): Promise<void> {
    const { signal } = this.#abort;
    let reachable = true;
    while (!signal.aborted) {
      try {
        await this.relist();
        if (!reachable) log.info('container runtime answers again');
        reachable = true;
      } catch (error) {
        if (reachable) {
          log.warn({ error: toPlatformError(error).message }, 'container runtime does not answer');
        }
        reachable = false;
      }
      const pauseMs = this.#streaming && reachable ? relistWithEventsMs : relistAloneMs;
      await sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        const events = this.#cri.events(signal);
        this.#streaming = true;
        for await (const { podSandboxStatus, containerId } of events) {
          const podUid = podSandboxStatus?.metadata?.uid ?? this.#known.get(containerId)?.podUid;
          if (podUid === undefined) await this.relist();
          else this.#onChange(podUid);
        }
      } catch (error) {
        log.debug({ error: toPlatformError(error).message }, 'event stream ended');
      }
      this.#streaming = false;
      await sleep(reconnectMs, signal).catch(() => undefined);
    }
  }
}
