import dnsPacket, { type Answer, type DecodedPacket, type Packet } from 'dns-packet';

/** Bytes a UDP answer may have when the client says nothing (RFC 1035) and what we ever send (fits one frame). */
const udpSizeDefault = 512;
const udpSizeMax = 1_232;
const headerBytes = 12;

export const responseCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  noName: 3,
  notImplemented: 4,
  refused: 5,
};

const flags = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
};

/** A query reduced to what answers need. */
export interface Query {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly recursionDesired: boolean;
  /** Bytes the client takes by UDP; undefined: it sent no EDNS. */
  readonly ednsSize: number | undefined;
  readonly packet: DecodedPacket;
}

export interface Reply {
  readonly code: number;
  readonly authoritative: boolean;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly additionals: readonly Answer[];
}

/** A query that gets an error and nothing else. */
export interface BadQuery {
  readonly id: number;
  readonly code: number;
}

/** Parses what a client sent. Undefined: not worth an answer (too short, or itself a response, which could loop). */
export function parseQuery(message: Buffer): Query | BadQuery | undefined {
  if (message.length < headerBytes || (message.readUInt16BE(2) & flags.response) !== 0) return undefined;
  const id = message.readUInt16BE(0);
  // Before anything is decoded: counts no honest query has would make the decoder work for nothing.
  const records = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10);
  if (message.readUInt16BE(4) !== 1 || records > 4) return { id, code: responseCodes.formatError };
  if (((message.readUInt16BE(2) >> 11) & 15) !== 0) return { id, code: responseCodes.notImplemented };
  try {
    const packet = dnsPacket.decode(message);
    const question = packet.questions?.[0];
    if (question === undefined) return { id, code: responseCodes.formatError };
    const type: string = question.type;
    if (question.class !== 'IN' || type === 'AXFR' || type === 'IXFR')
      return { id, code: responseCodes.refused };
    const edns = packet.additionals?.find((record) => record.type === 'OPT');
    return {
      id,
      name: question.name === '.' ? '' : question.name,
      type,
      recursionDesired: packet.flag_rd,
      ednsSize: edns?.type === 'OPT' ? edns.udpPayloadSize : undefined,
      packet,
    };
  } catch {
    return { id, code: responseCodes.formatError };
  }
}

/** Bytes an answer to this query may have over UDP. */
export function udpLimit(query: Query): number {
  return Math.max(udpSizeDefault, Math.min(query.ednsSize ?? udpSizeDefault, udpSizeMax));
}

/** The error answer to a query that could not be read: header only. */
export function formatError(bad: BadQuery): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(bad.id, 0);
  header.writeUInt16BE(flags.response | bad.code, 2);
  return header;
}

/** Encodes a reply in at most `limit` bytes; what does not fit is left out and said so (TC), and the client asks by TCP. */
export function formatReply(query: Query, reply: Reply, limit: number): Buffer {
  const base: Packet = {
    type: 'response',
    id: query.id,
    flags:
      (reply.authoritative ? flags.authoritative : 0) |
      (query.recursionDesired ? flags.recursionDesired : 0) |
      flags.recursionAvailable |
      reply.code,
    questions: query.packet.questions ?? [],
    authorities: [...reply.authorities],
  };
  const edns: Answer[] =
    query.ednsSize === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: udpSizeMax,
            flags: 0,
            extendedRcode: 0,
            ednsVersion: 0,
            flag_do: false,
            options: [],
          },
        ];
  const whole = dnsPacket.encode({
    ...base,
    answers: [...reply.answers],
    additionals: [...reply.additionals, ...edns],
  });
  if (whole.length <= limit) return whole;
  // Additional records are a courtesy: an answer without them is complete.
  const plain = dnsPacket.encode({ ...base, answers: [...reply.answers], additionals: edns });
  if (plain.length <= limit) return plain;
  return formatTruncated({ ...base, additionals: edns }, reply.answers, limit);
}

function formatTruncated(base: Packet, answers: readonly Answer[], limit: number): Buffer {
  const truncated = { ...base, flags: (base.flags ?? 0) | flags.truncated };
  let low = 0;
  let high = answers.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const size = dnsPacket.encode({ ...truncated, answers: answers.slice(0, middle) }).length;
    if (size <= limit) low = middle;
    else high = middle - 1;
  }
  return dnsPacket.encode({ ...truncated, answers: answers.slice(0, low) });
}

/** A foreign server's response made to fit: as it is, or cut to the question with TC. */
export function fitResponse(query: Query, response: Buffer, limit: number): Buffer {
  const own = Buffer.from(response);
  own.writeUInt16BE(query.id, 0);
  if (own.length <= limit) return own;
  return dnsPacket.encode({
    type: 'response',
    id: query.id,
    flags: (own.readUInt16BE(2) & 0x07ff) | flags.truncated,
    questions: query.packet.questions ?? [],
  });
}
