// A daemon to be killed: opens the fixture's service and starts sandboxes until it dies. Arguments: folder, prefix, command of the containers.
import { join } from 'node:path';
import { createImageStore } from '../../image-store/index.ts';
import { SandboxFixture, TestInfrastructure } from './sandbox-fixture.ts';

const [, , folder = '', prefix = '', command = ''] = process.argv;
const images = await createImageStore({ dataDir: join(folder, 'images') });
const fixture = new SandboxFixture(folder, new TestInfrastructure(prefix, folder), images, prefix);
const service = await fixture.open();
const name = `crash-${process.pid}`;
const sandboxId = await service.runSandbox(fixture.sandboxConfig(name));
const containerId = await service.createContainer(
  sandboxId,
  fixture.containerConfig(name, ['sh', '-c', command]),
);
await service.startContainer(containerId);
setInterval(() => undefined, 1_000);
