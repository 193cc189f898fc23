/** Age as kubectl prints it: `45s`, `3m12s`, `5h`, `2d3h`, `400d`, `3y`. */
export function formatDuration(durationMs: number): string {
  return `${Math.floor(durationMs / 1000)}s`;
}
