/** GET /version (version.Info). The Kubernetes release whose API this is; the suffix says who serves it. */
export const versionInfo = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.0-hypernetes',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2026-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
} as const;
