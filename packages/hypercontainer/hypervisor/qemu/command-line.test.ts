import { describe, expect, it } from 'vitest';
import { buildCommandLine, type CommandLineConfig } from './command-line.ts';
import { launchCommand } from './launch.ts';

const config: CommandLineConfig = {
  name: 'hn-pod-abc',
  accelerator: 'tcg',
  memoryMiB: 256,
  cpus: 1,
  kernel: '/c/vmlinuz',
  initramfs: '/c/initramfs',
  kernelArguments: 'console=ttyS0 quiet',
  memory: { kind: 'clone', path: '/dev/shm/t/memory' },
  scratchPath: '/d/scratch,1.raw',
  toolsPath: '/c/tools',
  tapName: 'tap1',
  mac: '52:54:00:12:34:56',
  runDir: '/r/vm/a',
};

/** As key and value pairs in order: `-device x`. */
function pairs(args: readonly string[]): string[] {
  return args.join(' ').split(/ (?=-)/);
}

describe('buildCommandLine', () => {
  it('is exactly this for a clone', () => {
    expect(pairs(buildCommandLine(config))).toEqual([
      '-name guest=hn-pod-abc',
      '-nodefaults',
      '-no-user-config',
      '-display none',
      '-no-reboot',
      '-machine microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off,memory-backend=mem',
      '-accel tcg,tb-size=64',
      '-cpu max',
      '-m 256M',
      '-smp 1',
      '-object memory-backend-file,id=mem,size=256M,mem-path=/dev/shm/t/memory,share=off',
      '-kernel /c/vmlinuz',
      '-initrd /c/initramfs',
      '-append console=ttyS0 quiet',
      '-chardev socket,id=qmp,path=/r/vm/a/qmp.sock,server=on,wait=off',
      '-mon chardev=qmp,mode=control',
      '-chardev file,id=console,path=/r/vm/a/console.log,append=on',
      '-serial chardev:console',
      '-global virtio-mmio.force-legacy=false',
      '-device virtio-serial-device,id=serial0,max_ports=2',
      '-chardev socket,id=agent,path=/r/vm/a/agent.sock,server=on,wait=off',
      '-device virtserialport,bus=serial0.0,nr=1,chardev=agent,name=hyperstart.v1',
      '-device virtio-scsi-device,id=scsi0,num_queues=1',
      '-blockdev {"node-name":"scratch","driver":"raw","discard":"unmap","cache":{"direct":false,"no-flush":true},"file":{"driver":"file","filename":"/d/scratch,1.raw","discard":"unmap"}}',
      '-device scsi-hd,bus=scsi0.0,scsi-id=0,lun=0,drive=scratch,id=disk-0-0',
      '-blockdev {"node-name":"tools","driver":"raw","read-only":true,"file":{"driver":"file","filename":"/c/tools","read-only":true}}',
      '-device scsi-hd,bus=scsi0.0,scsi-id=0,lun=1,drive=tools,id=disk-0-1',
      '-netdev tap,id=net0,ifname=tap1,script=no,downscript=no,vhost=off',
      '-device virtio-net-device,netdev=net0,mac=52:54:00:12:34:56',
      '-object rng-builtin,id=rng0',
      '-device virtio-rng-device,rng=rng0',
      '-global migration.store-global-state=off',
      '-incoming defer',
      '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
      '-msg timestamp=on',
    ]);
  });

  it('gives a template the same devices, and memory that is written', () => {
    const devices = (args: readonly string[]) => pairs(args).filter((pair) => pair.startsWith('-device'));
    const template = buildCommandLine({ ...config, memory: { kind: 'template', path: '/t/memory' } });
    expect(devices(template)).toEqual(devices(buildCommandLine(config)));
    expect(template.join(' ')).toContain('share=on');
    expect(template).not.toContain('-incoming');
  });

  it('boots with anonymous memory, and with KVM as the host is', () => {
    const args = buildCommandLine({ ...config, accelerator: 'kvm', memory: { kind: 'private' } });
    expect(args.join(' ')).toContain('memory-backend-ram,id=mem,size=256M');
    expect(args.join(' ')).toContain('-accel kvm -cpu host');
  });

  it('doubles commas in paths, so that a path cannot add options', () => {
    const args = buildCommandLine({ ...config, runDir: '/r,server=off' });
    expect(args.join(' ')).toContain('path=/r,,server=off/qmp.sock');
  });
});

describe('launchCommand', () => {
  const options = { args: ['-m', '1'], uid: 200_001, groups: [7, 8], tapName: 'tap1', logFile: '/l' };

  it('enters the namespace of the tap and gives every privilege up', () => {
    expect(launchCommand({ ...options, networkNamespace: '/run/netns/x' }).join(' ')).toBe(
      'nsenter --net=/run/netns/x -- setpriv --reuid=200001 --regid=200001 --groups=7,8 --inh-caps=-all --bounding-set=-all --no-new-privs -- qemu-system-x86_64 -m 1',
    );
  });

  it('makes a namespace and a tap of its own where there is none', () => {
    const command = launchCommand({ ...options, groups: [], networkNamespace: undefined });
    expect(command.slice(0, 5)).toEqual(['unshare', '--net', '--', 'sh', '-c']);
    expect(command.slice(6, 10)).toEqual(['sh', 'tap1', '200001', 'setpriv']);
    expect(command).toContain('--clear-groups');
  });
});
