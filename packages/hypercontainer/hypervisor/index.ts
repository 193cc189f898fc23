export type {
  Disk,
  DiskAddress,
  Hypervisor,
  Machine,
  MachineIsolation,
  MachineRecord,
  MachineSpec,
} from './hypervisor.ts';
export { readGuestArtifacts, type GuestArtifacts } from './guest-artifacts.ts';
export { copyScratch, ensureScratchBase } from './scratch-disk.ts';
export type { AcceleratorProof } from './qemu/accelerator.ts';
export {
  createQemuHypervisor,
  proveAccelerator,
  type QemuHypervisorOptions,
} from './qemu/qemu-hypervisor.ts';
export { findMonitors } from './qemu/qemu-machine.ts';
export { measureCloneFloor, type CloneFloor } from './bench/clone-floor.ts';
