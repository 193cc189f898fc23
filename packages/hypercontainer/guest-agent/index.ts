export {
  GuestAgent,
  expectResult,
  type GuestAgentOptions,
  type Operation,
  type OperationResult,
} from './guest-agent.ts';
export { encodeFrame, FrameDecoder, maxPayloadBytes, resynchronisation } from './frame-codec.ts';
export { commandExitCode, toGuestError } from './guest-error.ts';
export { ReceiveStream, streamWindowBytes, type StreamConsumer } from './receive-stream.ts';
export { SendStream } from './send-stream.ts';
