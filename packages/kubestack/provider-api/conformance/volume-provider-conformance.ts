import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AttachmentSpec, VolumeProvider, VolumeSpec } from '../index.ts';
import type { ProviderFixture } from './network-provider-conformance.ts';

const volumeId = '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0';
const mebibyte = 1 << 20;

/** Registers the tests every VolumeProvider passes. `factory` is called before each test. */
export function volumeProviderConformance(factory: () => Promise<ProviderFixture<VolumeProvider>>): void {
  describe('VolumeProvider', () => {
    let fixture: ProviderFixture<VolumeProvider>;
    let provider: VolumeProvider;

    beforeEach(async () => {
      fixture = await factory();
      provider = fixture.provider;
    });
    afterEach(async () => {
      await fixture[Symbol.asyncDispose]();
    });

    const volume = (change: Partial<VolumeSpec> = {}): VolumeSpec => ({
      id: volumeId,
      name: 'data',
      tenantId: '',
      sizeBytes: 8 * mebibyte,
      ...change,
    });
    const attachment = (sandboxId: string, change: Partial<AttachmentSpec> = {}): AttachmentSpec => ({
      volumeId,
      tenantId: fixture.tenantId,
      sandboxId,
      pod: { namespace: 'ns1', name: `pod-${sandboxId}`, uid: `uid-${sandboxId}` },
      nodeName: 'node1',
      readOnly: false,
      ownerUid: 20_000,
      ...change,
    });

    it('creates a volume with the id given, once', async () => {
      const made = await provider.createVolume(volume());
      expect(made).toMatchObject({
        id: volumeId,
        name: 'data',
        sizeBytes: 8 * mebibyte,
        state: 'Available',
        tenantId: '',
      });
      expect(await provider.createVolume(volume())).toEqual(made);
      expect(await provider.getVolume(volumeId)).toEqual(made);
      expect(await provider.listVolumes()).toEqual([made]);
      await expect(provider.createVolume(volume({ sizeBytes: 9 * mebibyte }))).rejects.toMatchObject({
        reason: 'AlreadyExists',
      });
    });

    it('makes an id where none is given', async () => {
      const one = await provider.createVolume(volume({ id: '' }));
      const two = await provider.createVolume(volume({ id: '' }));
      expect(one.id).not.toBe(two.id);
    });

    it.each([0, -mebibyte, 1, mebibyte + 512])('refuses a size of %d bytes', async (sizeBytes) => {
      await expect(provider.createVolume(volume({ sizeBytes }))).rejects.toMatchObject({ reason: 'Invalid' });
      expect(await provider.listVolumes()).toEqual([]);
    });

    it('refuses a volume there is no space for', async () => {
      await expect(provider.createVolume(volume({ sizeBytes: 2 ** 32 * mebibyte }))).rejects.toMatchObject({
        reason: 'Exhausted',
      });
      expect(await provider.listVolumes()).toEqual([]);
    });

    it('attaches to one sandbox at a time', async () => {
      await provider.createVolume(volume());
      const made = await provider.attachVolume(attachment('s1'));
      expect(made).toMatchObject({ volumeId, sandboxId: 's1', readOnly: false });
      expect(await provider.attachVolume(attachment('s1'))).toEqual(made);
      expect(await provider.getVolume(volumeId)).toMatchObject({ state: 'InUse', attachment: made });
      await expect(provider.attachVolume(attachment('s2'))).rejects.toMatchObject({
        reason: 'Precondition',
        message: expect.stringContaining('ns1/pod-s1') as string,
      });
      await expect(provider.deleteVolume(volumeId)).rejects.toMatchObject({
        reason: 'Precondition',
        message: expect.stringContaining('ns1/pod-s1') as string,
      });
      expect(await provider.listAttachments('s1')).toEqual([made]);
      await provider.detachVolume(volumeId, 's2');
      expect(await provider.listAttachments()).toEqual([made]);
      await provider.detachVolume(volumeId, 's1');
      await provider.detachVolume(volumeId, 's1');
      expect((await provider.attachVolume(attachment('s2'))).sandboxId).toBe('s2');
    });

    it('lets only one of two win that attach at the same time', async () => {
      await provider.createVolume(volume());
      const results = await Promise.allSettled(
        ['s1', 's2', 's3'].map((id) => provider.attachVolume(attachment(id))),
      );
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    });

    it("makes a volume the tenant's that attaches it first, and refuses others", async () => {
      await provider.createVolume(volume());
      await provider.attachVolume(attachment('s1'));
      await provider.detachVolume(volumeId, 's1');
      expect((await provider.getVolume(volumeId)).tenantId).toBe(fixture.tenantId);
      await expect(provider.attachVolume(attachment('s2', { tenantId: 'other' }))).rejects.toMatchObject({
        reason: 'Forbidden',
      });
      expect((await provider.attachVolume(attachment('s3', { tenantId: '' }))).sandboxId).toBe('s3');
      expect(await provider.listVolumes(fixture.tenantId)).toHaveLength(1);
      expect(await provider.listVolumes('other')).toEqual([]);
    });

    it('says when there is no such volume', async () => {
      await expect(provider.getVolume(volumeId)).rejects.toMatchObject({ reason: 'NotFound' });
      await expect(provider.attachVolume(attachment('s1'))).rejects.toMatchObject({ reason: 'NotFound' });
      await provider.detachVolume(volumeId, 's1');
      await provider.deleteVolume(volumeId);
    });

    it('deletes', async () => {
      await provider.createVolume(volume());
      await provider.deleteVolume(volumeId);
      await expect(provider.getVolume(volumeId)).rejects.toMatchObject({ reason: 'NotFound' });
      expect((await provider.createVolume(volume({ sizeBytes: mebibyte }))).sizeBytes).toBe(mebibyte);
    });

    it('keeps the fence after its process was killed', async () => {
      await provider.createVolume(volume());
      const made = await provider.attachVolume(attachment('s1'));
      const after = await fixture.restart();
      expect(await after.listAttachments()).toEqual([made]);
      await expect(after.attachVolume(attachment('s2'))).rejects.toMatchObject({ reason: 'Precondition' });
    });
  });
}
