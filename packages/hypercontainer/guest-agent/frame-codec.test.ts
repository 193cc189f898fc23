import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, maxPayloadBytes, resynchronisation } from './frame-codec.ts';

/** A small generator with a seed, so that a failure can be run again. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function bytes(random: (below: number) => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random(256)));
}

function decodeInPieces(wire: Buffer, random: (below: number) => number): Buffer[] {
  const decoder = new FrameDecoder();
  const found: Buffer[] = [];
  for (let at = 0; at < wire.length;) {
    const size = 1 + random(random(4) === 0 ? 4096 : 16);
    found.push(...decoder.push(wire.subarray(at, at + size)));
    at += size;
  }
  return found;
}

describe('frame codec', () => {
  it('encodes the documented header', () => {
    const frame = encodeFrame(Buffer.from('123456789'));
    // CRC-32/ISO-HDLC check value of "123456789".
    expect(frame.toString('hex')).toBe(`48595031` + `09000000` + `2639f4cb` + `313233343536373839`);
  });

  it('finds every frame however the bytes are cut, and whatever lies between', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = randomNumbers(seed);
      const payloads = Array.from({ length: 8 }, () => bytes(random, random(1500)));
      const wire = Buffer.concat(
        payloads.flatMap((payload) => [
          random(2) === 0 ? bytes(random, random(50)) : Buffer.from('HYP'.slice(0, random(4))),
          encodeFrame(payload),
        ]),
      );
      expect(decodeInPieces(wire, random), `seed ${seed}`).toEqual(payloads);
    }
  });

  it('loses only the torn frame after the resynchronising run', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = randomNumbers(seed);
      const torn = encodeFrame(bytes(random, 1 + random(2000)));
      const whole = bytes(random, 100);
      const wire = Buffer.concat([
        torn.subarray(0, 1 + random(torn.length - 1)),
        resynchronisation,
        encodeFrame(whole),
      ]);
      const decoder = new FrameDecoder();
      expect(decoder.push(wire), `seed ${seed}`).toEqual([whole]);
    }
  });

  it('drops a frame with a flipped bit and keeps the next', () => {
    const first = encodeFrame(Buffer.from('first'));
    first[13] = first[13]! ^ 1;
    const decoder = new FrameDecoder();
    expect(decoder.push(Buffer.concat([first, encodeFrame(Buffer.from('second'))]))).toEqual([
      Buffer.from('second'),
    ]);
    expect(decoder.droppedBytes).toBe(first.length);
  });

  it('refuses and skips lengths over the maximum', () => {
    expect(() => encodeFrame(Buffer.alloc(maxPayloadBytes + 1))).toThrow(/more than/);
    const header = Buffer.alloc(12);
    header.write('HYP1');
    header.writeUInt32LE(maxPayloadBytes + 1, 4);
    const decoder = new FrameDecoder();
    expect(decoder.push(Buffer.concat([header, encodeFrame(Buffer.from('x'))]))).toEqual([Buffer.from('x')]);
  });

  it('gives a guest up that plants false headers', () => {
    const header = Buffer.alloc(12);
    header.write('HYP1');
    header.writeUInt32LE(maxPayloadBytes, 4);
    const hostile = Buffer.concat(Array.from({ length: 200_000 }, () => header));
    const started = Date.now();
    expect(() => new FrameDecoder().push(hostile)).toThrow(/without end/);
    expect(Date.now() - started).toBeLessThan(1_000);
  });
});
