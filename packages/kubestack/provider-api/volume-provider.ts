import type { PodReference } from './pod-reference.ts';

export interface VolumeSpec {
  /** Empty: made. */
  readonly id: string;
  readonly name: string;
  /** Empty: becomes the tenant's that attaches it first. */
  readonly tenantId: string;
  readonly sizeBytes: number;
}

export type VolumeState = 'Creating' | 'Available' | 'InUse' | 'Error' | 'Deleting';

export interface Volume {
  readonly id: string;
  readonly name: string;
  readonly tenantId: string;
  readonly sizeBytes: number;
  readonly state: VolumeState;
  readonly message: string;
  /** With state InUse. */
  readonly attachment: Attachment | undefined;
}

export interface AttachmentSpec {
  readonly volumeId: string;
  /** Empty: an administrator's, any volume. */
  readonly tenantId: string;
  readonly sandboxId: string;
  readonly pod: PodReference | undefined;
  readonly nodeName: string;
  readonly readOnly: boolean;
  /** User id the virtual machine monitor runs as. */
  readonly ownerUid: number;
}

export type VolumeConnection =
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'rbd';
      readonly pool: string;
      readonly image: string;
      readonly monitors: readonly string[];
      readonly user: string;
      readonly key: Uint8Array;
    };

export interface Attachment {
  readonly id: string;
  readonly volumeId: string;
  readonly sandboxId: string;
  readonly pod: PodReference | undefined;
  readonly nodeName: string;
  readonly readOnly: boolean;
  readonly connection: VolumeConnection;
}

export type VolumeCapability = 'volume-file' | 'volume-rbd';

/**
 * Block volumes, attached to at most one sandbox at a time. The attachment is durable before attachVolume answers, so a volume is
 * never open twice, whatever crashes. Errors: Invalid, NotFound, AlreadyExists (the id with another size, name or tenant),
 * Precondition (attached, naming the holder), Forbidden (another tenant's), Exhausted (no space).
 */
export interface VolumeProvider extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: ReadonlySet<VolumeCapability>;
  /** Finishes or sweeps what was half made. */
  reconcile(): Promise<void>;
  createVolume(spec: VolumeSpec): Promise<Volume>;
  /** NotFound. */
  getVolume(id: string): Promise<Volume>;
  listVolumes(tenantId?: string): Promise<readonly Volume[]>;
  /** Precondition while attached. Unknown: success. */
  deleteVolume(id: string): Promise<void>;
  /** The same sandbox again: the same attachment. */
  attachVolume(spec: AttachmentSpec): Promise<Attachment>;
  /** Unknown: success. */
  detachVolume(volumeId: string, sandboxId: string): Promise<void>;
  listAttachments(sandboxId?: string): Promise<readonly Attachment[]>;
}
