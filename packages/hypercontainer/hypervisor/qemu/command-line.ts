import type { MachineIsolation } from '../hypervisor.ts';

/** Everything that goes into a monitor's argument list. No secret ever does: every user of the host can read it. */
export interface CommandLineConfig {
  readonly name: string;
  readonly accelerator: MachineIsolation;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly kernel: string;
  readonly initramfs: string;
  readonly kernelArguments: string;
  /** private: anonymous memory. template: the file is written. clone: a copy-on-write view of the file. */
  readonly memory:
    { readonly kind: 'private' } | { readonly kind: 'template' | 'clone'; readonly path: string };
  readonly scratchPath: string;
  readonly toolsPath: string;
  readonly tapName: string;
  /** The guest sets the pod's own address; this one only has to be the same in template and clone. */
  readonly mac: string;
  readonly runDir: string;
}

/** Sockets and files of a machine in its run folder. */
export const machineFiles = {
  qmp: 'qmp.sock',
  agent: 'agent.sock',
  console: 'console.log',
  incoming: 'incoming.sock',
} as const;

/** Name of the virtio-serial port of contract hyperstart.v1. */
const agentPortName = 'hyperstart.v1';

/** Translated code kept per machine: bounds what emulation costs in host memory. */
const translationCacheMiB = 64;

/** QEMU's arguments. Pure: the same configuration gives the same list; template and clone must agree in every device. */
export function buildCommandLine(config: CommandLineConfig): readonly string[] {
  return [
    ...['-name', `guest=${config.name}`, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', machineOptions()],
    ...['-accel', acceleratorOptions(config.accelerator)],
    ...['-cpu', config.accelerator === 'kvm' ? 'host' : 'max'],
    ...['-m', `${config.memoryMiB}M`, '-smp', `${config.cpus}`],
    ...['-object', memoryBackend(config)],
    ...['-kernel', config.kernel, '-initrd', config.initramfs, '-append', config.kernelArguments],
    ...monitorAndConsole(config.runDir),
    ...['-global', 'virtio-mmio.force-legacy=false'],
    ...agentPort(config.runDir),
    ...disks(config),
    ...['-netdev', `tap,id=net0,ifname=${config.tapName},script=no,downscript=no,vhost=off`],
    ...['-device', `virtio-net-device,netdev=net0,mac=${config.mac}`],
    ...['-object', 'rng-builtin,id=rng0', '-device', 'virtio-rng-device,rng=rng0'],
    // No balloon: with a memory file, giving pages back punches holes into the template that other pods of the tenant still map.
    ...migration(config),
    ...[
      '-sandbox',
      'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
      '-msg',
      'timestamp=on',
    ],
  ];
}

function machineOptions(): string {
  // acpi: the distribution kernel finds virtio-mmio devices no other way. pit, pic and rtc must stay on under emulation.
  return 'microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off,memory-backend=mem';
}

function acceleratorOptions(accelerator: MachineIsolation): string {
  return accelerator === 'kvm' ? 'kvm' : `tcg,tb-size=${translationCacheMiB}`;
}

function memoryBackend(config: CommandLineConfig): string {
  const size = `size=${config.memoryMiB}M`;
  if (config.memory.kind === 'private') return `memory-backend-ram,id=mem,${size}`;
  const share = config.memory.kind === 'template' ? 'on' : 'off';
  return `memory-backend-file,id=mem,${size},mem-path=${escapeValue(config.memory.path)},share=${share}`;
}

function monitorAndConsole(runDir: string): string[] {
  return [
    ...['-chardev', `socket,id=qmp,path=${escapeValue(`${runDir}/${machineFiles.qmp}`)},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control'],
    // append: the host may cut the file off while it is open.
    ...['-chardev', `file,id=console,path=${escapeValue(`${runDir}/${machineFiles.console}`)},append=on`],
    ...['-serial', 'chardev:console'],
  ];
}

function agentPort(runDir: string): string[] {
  return [
    ...['-device', 'virtio-serial-device,id=serial0,max_ports=2'],
    ...[
      '-chardev',
      `socket,id=agent,path=${escapeValue(`${runDir}/${machineFiles.agent}`)},server=on,wait=off`,
    ],
    ...['-device', `virtserialport,bus=serial0.0,nr=1,chardev=agent,name=${agentPortName}`],
  ];
}

function disks(config: CommandLineConfig): string[] {
  // The scratch disk dies with the pod, so nothing on it needs to survive the host: flushes are not passed on.
  const scratch = {
    'node-name': 'scratch',
    driver: 'raw',
    discard: 'unmap',
    cache: { direct: false, 'no-flush': true },
    file: { driver: 'file', filename: config.scratchPath, discard: 'unmap' },
  };
  const tools = {
    'node-name': 'tools',
    driver: 'raw',
    'read-only': true,
    file: { driver: 'file', filename: config.toolsPath, 'read-only': true },
  };
  return [
    ...['-device', 'virtio-scsi-device,id=scsi0,num_queues=1'],
    ...['-blockdev', JSON.stringify(scratch)],
    ...['-device', 'scsi-hd,bus=scsi0.0,scsi-id=0,lun=0,drive=scratch,id=disk-0-0'],
    ...['-blockdev', JSON.stringify(tools)],
    ...['-device', 'scsi-hd,bus=scsi0.0,scsi-id=0,lun=1,drive=tools,id=disk-0-1'],
  ];
}

function migration(config: CommandLineConfig): string[] {
  if (config.memory.kind === 'private') return [];
  return [
    // A clone runs as soon as it is loaded, though its template was stopped.
    ...['-global', 'migration.store-global-state=off'],
    ...(config.memory.kind === 'clone' ? ['-incoming', 'defer'] : []),
  ];
}

/** In QEMU's key=value lists a comma in a value is written twice. */
function escapeValue(value: string): string {
  return value.replaceAll(',', ',,');
}
