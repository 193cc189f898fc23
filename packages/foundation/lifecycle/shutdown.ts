/**
 * Runs the owner's disposal once on SIGTERM or SIGINT and lets the process end by itself; after ten seconds it is ended.
 * Only composition roots (apps/) call this.
 */
export function onShutdown(dispose: () => Promise<void>): void {
  let started = false;
  const begin = (): void => {
    if (started) return;
    started = true;
    setTimeout(() => process.exit(1), 10_000).unref();
    void dispose().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', begin);
  process.on('SIGINT', begin);
}
