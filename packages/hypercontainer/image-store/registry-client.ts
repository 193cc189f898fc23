import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { PlatformError } from '@hypernetes/foundation/errors';
import { retry } from '@hypernetes/foundation/lifecycle';
import type { RegistryAuth } from './image-store.ts';
import { manifestMediaTypes, type Descriptor } from './manifest.ts';
import { answerChallenge } from './registry-auth.ts';
import type { RegistryEndpoint } from './registry-endpoints.ts';
import { connectionError, readBody, reasonOfStatus, type RegistryHttp } from './registry-http.ts';

const manifestBytesMax = 4 << 20;
const configBytesMax = 8 << 20;

export interface RegistryClientOptions {
  readonly transport: RegistryHttp;
  readonly endpoint: RegistryEndpoint;
  readonly repository: string;
  /** For messages: the whole image reference. */
  readonly what: string;
  readonly auth?: RegistryAuth;
  readonly signal?: AbortSignal;
  /** Tries per request when the connection breaks or the server errs. */
  readonly attempts: number;
}

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly digest: string;
}

/** `sha256:...` of bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Reads one repository of a registry through one endpoint (OCI distribution-spec, pull). Every byte is checked against its digest. */
export class RegistryClient {
  readonly #options: RegistryClientOptions;
  #authorization: string | undefined;

  constructor(options: RegistryClientOptions) {
    this.#options = options;
    const token = options.auth?.registryToken;
    if (token !== undefined && token !== '') this.#authorization = `Bearer ${token}`;
  }

  /** By tag or digest; NotFound when there is none. */
  async manifest(tagOrDigest: string): Promise<FetchedManifest> {
    return await this.#retry(async () => {
      const url = this.#url(`manifests/${tagOrDigest}`);
      const response = await this.#get(url, { accept: manifestMediaTypes.join(', ') });
      const bytes = await readBody(response, url, manifestBytesMax);
      const digest = digestOf(bytes);
      const said = response.headers['docker-content-digest'];
      const wanted = tagOrDigest.startsWith('sha256:') ? tagOrDigest : (said ?? digest);
      if (digest !== wanted) throw this.#corrupt('manifest', String(wanted), digest);
      return { bytes, digest };
    });
  }

  /** A small blob (image configurations). */
  async blob(descriptor: Descriptor): Promise<Buffer> {
    if (descriptor.sizeBytes > configBytesMax) {
      throw new PlatformError(
        'Invalid',
        `${this.#options.what}: configuration larger than ${configBytesMax} bytes`,
      );
    }
    return await this.#retry(async () => {
      const url = this.#url(`blobs/${descriptor.digest}`);
      const bytes = await readBody(await this.#get(url), url, configBytesMax);
      const found = digestOf(bytes);
      if (found !== descriptor.digest) throw this.#corrupt('configuration', descriptor.digest, found);
      return bytes;
    });
  }

  /** A blob into a file; what an earlier, broken attempt left in the file is continued. Verified when this returns. */
  async download(descriptor: Descriptor, path: string, onBytes: (count: number) => void): Promise<void> {
    await this.#retry(() => this.#downloadOnce(descriptor, path, onBytes));
  }

  async #retry<T>(work: () => Promise<T>): Promise<T> {
    const { attempts, signal } = this.#options;
    return await retry(
      { attempts, baseMs: 200, maxMs: 4_000, ...(signal === undefined ? {} : { signal }) },
      work,
    );
  }

  #url(tail: string): URL {
    const { endpoint, repository } = this.#options;
    return new URL(`${endpoint.url.href.replace(/\/+$/, '')}/v2/${repository}/${tail}`);
  }

  #corrupt(part: string, wanted: string, found: string): PlatformError {
    return new PlatformError(
      'Invalid',
      `${this.#options.what}: ${part} ${wanted} from ${this.#options.endpoint.url.host} is corrupt: its content has digest ${found}`,
    );
  }

  async #get(url: URL, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
    let response = await this.#send(url, headers);
    if (response.statusCode === 401) {
      const authorization = await this.#authorize(response.headers['www-authenticate'] ?? '');
      if (authorization !== undefined) {
        response.destroy();
        this.#authorization = authorization;
        response = await this.#send(url, headers);
      }
    }
    const status = response.statusCode ?? 0;
    if (status === 200 || status === 206 || status === 416) return response;
    response.destroy();
    throw this.#refused(url, status);
  }

  async #send(url: URL, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    const { transport, endpoint, signal } = this.#options;
    const authorization = this.#authorization;
    return await transport.request({
      url,
      headers: authorization === undefined ? headers : { ...headers, authorization },
      insecureTls: endpoint.insecureTls,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async #authorize(header: string): Promise<string | undefined> {
    const { transport, endpoint, repository, auth, signal } = this.#options;
    return await answerChallenge({
      transport,
      header,
      registry: endpoint.url,
      repository,
      auth,
      insecureTls: endpoint.insecureTls,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  #refused(url: URL, status: number): PlatformError {
    const { what } = this.#options;
    const reason = reasonOfStatus(status);
    if (reason === 'NotFound') return new PlatformError('NotFound', `${what}: not found`);
    if (reason === 'Unauthenticated' || reason === 'Forbidden') {
      return new PlatformError(
        reason,
        `${what}: registry ${url.host} denies access: the credentials are missing or wrong, or there is no such repository`,
      );
    }
    return new PlatformError(reason, `${what}: registry ${url.host}: HTTP status ${status}`);
  }

  async #downloadOnce(descriptor: Descriptor, path: string, onBytes: (count: number) => void): Promise<void> {
    const hash = createHash('sha256');
    let have = await hashPrefix(path, descriptor.sizeBytes, hash);
    const url = this.#url(`blobs/${descriptor.digest}`);
    if (have < descriptor.sizeBytes || have === 0) {
      const response = await this.#get(url, have > 0 ? { range: `bytes=${have}-` } : {});
      if (have > 0 && !continuesAt(response, have)) {
        response.destroy();
        await rm(path, { force: true });
        if (response.statusCode !== 200) throw this.#badRange(url);
        await this.#downloadOnce(descriptor, path, onBytes);
        return;
      }
      have = await this.#append(response, { url, path, have, descriptor, hash, onBytes });
    }
    const found = `sha256:${hash.digest('hex')}`;
    if (found === descriptor.digest) return;
    await rm(path, { force: true });
    throw this.#corrupt(
      'layer',
      descriptor.digest,
      have === descriptor.sizeBytes ? found : `${found} (cut short)`,
    );
  }

  #badRange(url: URL): PlatformError {
    return new PlatformError(
      'Unavailable',
      `${this.#options.what}: registry ${url.host} does not continue a download`,
    );
  }

  async #append(
    response: IncomingMessage,
    to: {
      readonly url: URL;
      readonly path: string;
      readonly have: number;
      readonly descriptor: Descriptor;
      readonly hash: ReturnType<typeof createHash>;
      readonly onBytes: (count: number) => void;
    },
  ): Promise<number> {
    let have = to.have;
    const file = await open(to.path, 'a', 0o600);
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        have += chunk.length;
        if (have > to.descriptor.sizeBytes) {
          await rm(to.path, { force: true });
          throw this.#corrupt('layer', to.descriptor.digest, 'of more bytes than the manifest says');
        }
        await file.appendFile(chunk);
        to.hash.update(chunk);
        to.onBytes(chunk.length);
      }
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOSPC') {
        throw new PlatformError('Exhausted', `${this.#options.what}: the disk of the image store is full`, {
          cause,
        });
      }
      throw connectionError(to.url, cause, this.#options.signal);
    } finally {
      response.destroy();
      await file.close();
    }
    return have;
  }
}

/** Feeds what is already in the file to the hash; a file longer than expected is dropped. */
async function hashPrefix(
  path: string,
  sizeBytes: number,
  hash: ReturnType<typeof createHash>,
): Promise<number> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size > sizeBytes) {
    await rm(path, { force: true });
    return 0;
  }
  if (size > 0) for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return size;
}

function continuesAt(response: IncomingMessage, offset: number): boolean {
  return (
    response.statusCode === 206 && (response.headers['content-range'] ?? '').startsWith(`bytes ${offset}-`)
  );
}
