import { createSocket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dnsPacket, { type DecodedPacket, type Packet } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Service } from '@hypernetes/proto/kubestack';
import { Forwarder, parseResolvConf } from './forwarder.ts';
import { makeClusterView, NameServer } from './index.ts';

// Addresses of the loopback network, one for our server and one for the resolver it forwards to.
const port = 20_000 + (process.pid % 20_000);
const ours = '127.5.3.1';
const upstream = '127.5.3.2';

const many = Array.from({ length: 60 }, (_, index) => ({ address: `192.168.0.${index + 2}`, ready: true }));
const table = {
  generation: 1,
  services: new Map([
    ['ns1/web', Service.fromPartial({ key: { namespace: 'ns1', name: 'web' }, clusterIps: ['10.96.0.9'] })],
    ['ns1/many', Service.fromPartial({ key: { namespace: 'ns1', name: 'many' }, endpoints: many })],
    ['ns1/out', Service.fromPartial({ key: { namespace: 'ns1', name: 'out' }, externalName: 'a.example' })],
    [
      'ns1/alias',
      Service.fromPartial({
        key: { namespace: 'ns1', name: 'alias' },
        externalName: 'web.ns1.svc.cluster.local',
      }),
    ],
    [
      'ns1/loop',
      Service.fromPartial({
        key: { namespace: 'ns1', name: 'loop' },
        externalName: 'loop.ns1.svc.cluster.local',
      }),
    ],
  ]),
};

function query(name: string, extra: Packet = {}): Buffer {
  return dnsPacket.encode({
    type: 'query',
    id: 4_711,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type: 'A', class: 'IN' }],
    ...extra,
  });
}

async function askUdp(message: Buffer, timeoutMs = 5_000): Promise<Buffer | undefined> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((resolve) => {
      setTimeout(() => resolve(undefined), timeoutMs);
      socket.once('message', resolve);
      socket.send(message, port, ours);
    });
  } finally {
    socket.close();
  }
}

/** dns-packet decodes the response code too; its types leave it out. */
type Decoded = DecodedPacket & { readonly rcode: string };

async function ask(name: string, extra: Packet = {}): Promise<Decoded> {
  const answer = await askUdp(query(name, extra));
  if (answer === undefined) throw new Error('no answer');
  return dnsPacket.decode(answer) as Decoded;
}

describe('NameServer', () => {
  let folder: string;
  let server: NameServer;
  const foreign = createSocket('udp4');

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'name-server-'));
    const resolvConfPath = join(folder, 'resolv.conf');
    await writeFile(resolvConfPath, `# comment\nnameserver ${upstream}\n`);
    foreign.on('message', (message, peer) => {
      const asked = dnsPacket.decode(message);
      const question = asked.questions?.[0];
      if (question === undefined || question.name === 'silent.example') return;
      const base = { type: 'response' as const, flags: 0x8180, questions: [question] };
      const answers = [{ type: 'A' as const, name: question.name, ttl: 9, data: '203.0.113.5' }];
      const forged = [{ ...answers[0], type: 'A' as const, name: question.name, data: '6.6.6.6' }];
      // An answer with a wrong id, and one to another question: neither may be believed.
      foreign.send(
        dnsPacket.encode({ ...base, id: (asked.id ?? 0) ^ 1, answers: forged }),
        peer.port,
        peer.address,
      );
      foreign.send(
        dnsPacket.encode({
          ...base,
          id: asked.id ?? 0,
          questions: [{ ...question, name: 'b.example' }],
          answers: forged,
        }),
        peer.port,
        peer.address,
      );
      foreign.send(dnsPacket.encode({ ...base, id: asked.id ?? 0, answers }), peer.port, peer.address);
    });
    await new Promise<void>((resolve) => foreign.bind(port, upstream, resolve));
    server = new NameServer({
      view: () => makeClusterView('cluster.local', table, () => false),
      forwarder: new Forwarder({ resolvConfPath, port, timeoutMs: 300 }),
      port,
    });
    await server.listen('n1', ours);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    foreign.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('answers names of the cluster with authority', async () => {
    const answer = await ask('web.ns1.svc.cluster.local');
    expect(answer).toMatchObject({
      id: 4_711,
      flag_aa: true,
      flag_ra: true,
      flag_rd: true,
      rcode: 'NOERROR',
    });
    expect(answer.answers).toMatchObject([{ type: 'A', ttl: 5, data: '10.96.0.9' }]);
  });

  it('tells a missing name from a missing type, with the SOA', async () => {
    const noName = await ask('none.ns1.svc.cluster.local');
    expect(noName).toMatchObject({
      rcode: 'NXDOMAIN',
      answers: [],
      authorities: [{ type: 'SOA', name: 'cluster.local' }],
    });
    const noData = await ask('web.ns1.svc.cluster.local', {
      questions: [{ name: 'web.ns1.svc.cluster.local', type: 'AAAA', class: 'IN' }],
    });
    expect(noData).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [{ type: 'SOA' }] });
  });

  it('forwards the rest, believing only the answer to its question', async () => {
    expect((await ask('a.example')).answers).toMatchObject([{ data: '203.0.113.5' }]);
  });

  it('follows aliases inside and outside the cluster, and no loops', async () => {
    expect((await ask('out.ns1.svc.cluster.local')).answers).toMatchObject([
      { type: 'CNAME', data: 'a.example' },
      { type: 'A', data: '203.0.113.5' },
    ]);
    expect((await ask('alias.ns1.svc.cluster.local')).answers).toMatchObject([
      { type: 'CNAME', data: 'web.ns1.svc.cluster.local' },
      { type: 'A', data: '10.96.0.9' },
    ]);
    expect((await ask('loop.ns1.svc.cluster.local')).rcode).toBe('SERVFAIL');
  });

  it('says SERVFAIL when nobody answers', async () => {
    expect((await ask('silent.example')).rcode).toBe('SERVFAIL');
  });

  it('cuts what does not fit, says so, and has it whole by TCP and by EDNS', async () => {
    const name = 'many.ns1.svc.cluster.local';
    const raw = await askUdp(query(name));
    expect(raw?.length).toBeLessThanOrEqual(512);
    const cut = dnsPacket.decode(raw ?? Buffer.alloc(0));
    expect(cut.flag_tc).toBe(true);
    expect(cut.answers?.length).toBeGreaterThan(0);
    const larger = await ask(name, {
      additionals: [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: 4_096,
          flags: 0,
          extendedRcode: 0,
          ednsVersion: 0,
          flag_do: false,
          options: [],
        },
      ],
    });
    expect(larger.answers?.length).toBeGreaterThan(cut.answers?.length ?? 0);
    expect(larger.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1_232 }]);
    const whole = await new Promise<DecodedPacket>((resolve, reject) => {
      const socket = connect(port, ours);
      const chunks: Buffer[] = [];
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        chunks.push(chunk);
        const all = Buffer.concat(chunks);
        if (all.length < 2 || all.length < all.readUInt16BE(0) + 2) return;
        socket.destroy();
        resolve(dnsPacket.streamDecode(all) as DecodedPacket);
      });
      const message = dnsPacket.streamEncode({
        type: 'query',
        id: 1,
        flags: 256,
        questions: [{ name, type: 'A', class: 'IN' }],
      });
      // In two pieces, as TCP may cut it anywhere.
      socket.write(message.subarray(0, 1));
      setTimeout(() => socket.write(message.subarray(1)), 20);
    });
    expect(whole.flag_tc).toBe(false);
    expect(whole.answers).toHaveLength(60);
  });

  it('gives hostile input an error or nothing, and lives on', async () => {
    const header = (flags: number, counts: readonly number[]) => {
      const buffer = Buffer.alloc(12);
      buffer.writeUInt16BE(7, 0);
      buffer.writeUInt16BE(flags, 2);
      counts.forEach((count, index) => buffer.writeUInt16BE(count, 4 + 2 * index));
      return buffer;
    };
    const loop = Buffer.concat([header(0x0100, [1, 0, 0, 0]), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
    const cases: [Buffer, number | undefined][] = [
      [Buffer.alloc(0), undefined],
      [Buffer.from('short'), undefined],
      [header(0x8000, [1, 0, 0, 0]), undefined],
      [header(0x0100, [0, 0, 0, 0]), 1],
      [header(0x0100, [1, 0xffff, 0, 0]), 1],
      [header(0x2800, [1, 0, 0, 0]), 4],
      [loop, 1],
      [header(0x0100, [1, 0, 0, 0]), 1],
    ];
    for (const [message, code] of cases) {
      const answer = await askUdp(message, code === undefined ? 60 : 3_000);
      expect(answer === undefined ? undefined : (answer[3] ?? 0) & 15).toBe(code);
    }
    // Random bytes, replayable by their seed.
    let seed = 12_345;
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(
        Array.from(
          { length: 12 + (round % 60) },
          () => ((seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) >> 8) & 255,
        ),
      );
      bytes[2] = 1;
      bytes.writeUInt16BE(1, 4);
      bytes.fill(0, 6, 12);
      await askUdp(bytes, 0);
    }
    expect((await ask('web.ns1.svc.cluster.local')).answers).toHaveLength(1);
  });
});

describe('parseResolvConf', () => {
  it('takes the first three name servers', () => {
    const text =
      'search x\nnameserver 10.0.0.1\nnameserver  fd00::1\n#nameserver 1.1.1.1\nnameserver nonsense\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n';
    expect(parseResolvConf(text)).toEqual(['10.0.0.1', 'fd00::1', '10.0.0.2']);
  });
});
