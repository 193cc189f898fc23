import { pino, type Logger as PinoLogger } from 'pino';

/** Structured logger: constant message, identity in fields. `log.info({ sandboxId }, 'sandbox started')`. */
export type Logger = PinoLogger;

// Secrets never reach a log: these field names are blanked at any of the first levels of nesting.
const redactedPaths = ['token', 'password', 'key', 'secret', 'auth', 'env', 'authorization', 'data'].flatMap(
  (name) => [name, `*.${name}`, `*.*.${name}`],
);

const root = pino(
  {
    level: process.env['HN_LOG'] ?? 'info',
    base: { pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: redactedPaths, censor: '[redacted]' },
  },
  pino.destination({ fd: 2, sync: true }),
);

/** One logger per package or subsystem: createLogger('hypercontainer:sandbox'). JSON lines on standard error; level from HN_LOG. */
export function createLogger(subsystem: string): Logger {
  return root.child({ subsystem });
}
