/** Images on this host: pulled from OCI registries, each layer once as a read-only block image. */
export interface ImageStore extends AsyncDisposable {
  /** Pulls (or finds complete) and records the reference. Two pulls of one image at once do the work once. Errors name registry and reference. */
  pull(reference: string, options?: PullOptions): Promise<ImageRecord>;
  /** By identifier (sha256:...), unique prefix of one, or reference; undefined when not here. */
  find(referenceOrId: string): ImageRecord | undefined;
  list(): readonly ImageRecord[];
  /** Forgets a reference, or the whole image by identifier; layers nobody uses go. Not here: success. */
  remove(referenceOrId: string): Promise<void>;
  /** Loads an OCI layout or docker archive (tar file). Answers the references it brought. */
  load(archivePath: string): Promise<readonly ImageRecord[]>;
  usage(): Promise<{ readonly path: string; readonly usedBytes: number; readonly inodesUsed: number }>;
  /** Layers that must stay whatever happens to the image's references (containers use them). */
  retain(imageId: string, holder: string): void;
  release(holder: string): void;
}

export interface PullOptions {
  readonly auth?: RegistryAuth;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly downloadedBytes: number; readonly totalBytes: number }) => void;
}

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface ImageRecord {
  /** sha256:... of the configuration blob. */
  readonly id: string;
  /** Normalised: docker.io/library/nginx:latest */
  readonly references: readonly string[];
  /** docker.io/library/nginx@sha256:... */
  readonly digests: readonly string[];
  /** Compressed size of what was downloaded. */
  readonly sizeBytes: number;
  readonly config: ImageConfig;
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
}

/** OCI image-spec config.md, the execution parameters. */
export interface ImageConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly workingDir: string;
  readonly stopSignal: string;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface ImageLayer {
  readonly diffId: string;
  /** Read-only block image, world-readable for the unprivileged virtual machine monitors. */
  readonly path: string;
  readonly fsType: 'squashfs' | 'erofs';
  readonly sizeBytes: number;
}
