import { handleUnary } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  Volume_State,
  type Attachment as AttachmentMessage,
  type Volume as VolumeMessage,
  type VolumesServer,
} from '@hypernetes/proto/kubestack';
import type {
  Attachment,
  IdentityProvider,
  Volume,
  VolumeConnection,
  VolumeProvider,
} from '../provider-api/index.ts';
import {
  checkSize,
  checkText,
  checkUserId,
  optionalIdentifier,
  requireIdentifier,
  toPodReference,
} from './validation.ts';

const log = createLogger('kubestack:server');

const states = {
  Creating: Volume_State.CREATING,
  Available: Volume_State.AVAILABLE,
  InUse: Volume_State.IN_USE,
  Error: Volume_State.ERROR,
  Deleting: Volume_State.DELETING,
} as const;

function formatConnection(connection: VolumeConnection): AttachmentMessage['connection'] {
  switch (connection.kind) {
    case 'file':
      return { $case: 'file', value: { path: connection.path } };
    case 'rbd': {
      const { pool, image, monitors, user, key } = connection;
      return { $case: 'rbd', value: { pool, image, monitors: [...monitors], user, key: Buffer.from(key) } };
    }
  }
}

function formatAttachment(attachment: Attachment): AttachmentMessage {
  return { ...attachment, pod: attachment.pod, connection: formatConnection(attachment.connection) };
}

function formatVolume(volume: Volume): VolumeMessage {
  return {
    ...volume,
    sizeBytes: BigInt(volume.sizeBytes),
    state: states[volume.state],
    attachment: volume.attachment === undefined ? undefined : formatAttachment(volume.attachment),
  };
}

/** kubestack.v1 Volumes. */
export function volumesService(volumes: VolumeProvider, identity: IdentityProvider): VolumesServer {
  return {
    createVolume: handleUnary(log, 'CreateVolume', async (request) => {
      const tenantId = optionalIdentifier('tenant_id', request.tenantId);
      if (tenantId !== '') await identity.getTenant(tenantId);
      return formatVolume(
        await volumes.createVolume({
          id: optionalIdentifier('id', request.id),
          name: checkText('name', request.name),
          tenantId,
          sizeBytes: checkSize('size_bytes', request.sizeBytes),
        }),
      );
    }),
    getVolume: handleUnary(log, 'GetVolume', async ({ id }) =>
      formatVolume(await volumes.getVolume(requireIdentifier('id', id))),
    ),
    listVolumes: handleUnary(log, 'ListVolumes', async ({ tenantId }) => ({
      volumes: (await volumes.listVolumes(optionalIdentifier('tenant_id', tenantId) || undefined)).map(
        formatVolume,
      ),
    })),
    deleteVolume: handleUnary(log, 'DeleteVolume', async ({ id }) => {
      await volumes.deleteVolume(requireIdentifier('id', id));
      return {};
    }),
    attachVolume: handleUnary(log, 'AttachVolume', async (request) =>
      formatAttachment(
        await volumes.attachVolume({
          volumeId: requireIdentifier('volume_id', request.volumeId),
          tenantId: optionalIdentifier('tenant_id', request.tenantId),
          sandboxId: requireIdentifier('sandbox_id', request.sandboxId),
          pod: toPodReference(request.pod),
          nodeName: checkText('node_name', request.nodeName),
          readOnly: request.readOnly,
          ownerUid: checkUserId('owner_uid', request.ownerUid),
        }),
      ),
    ),
    detachVolume: handleUnary(log, 'DetachVolume', async ({ volumeId, sandboxId }) => {
      await volumes.detachVolume(
        requireIdentifier('volume_id', volumeId),
        requireIdentifier('sandbox_id', sandboxId),
      );
      return {};
    }),
    listAttachments: handleUnary(log, 'ListAttachments', async ({ sandboxId }) => ({
      attachments: (
        await volumes.listAttachments(optionalIdentifier('sandbox_id', sandboxId) || undefined)
      ).map(formatAttachment),
    })),
  };
}
