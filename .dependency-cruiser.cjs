// The architecture as rules: who may import whom (docs/architecture.md). tools/check-layers.mjs runs it, also on a fixture that must fail.
const house = (name) => `^(tests/style/fixtures/layers/)?packages/${name}/`;
const houses = ['hypercontainer', 'kubestack', 'kubernetes'];

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    ...houses.map((name) => ({
      name: `${name}-knows-no-other-house`,
      comment: 'between the houses there are only the four contracts (proto/)',
      severity: 'error',
      from: { path: house(name), pathNot: '\\.(integration\\.)?test\\.ts$' },
      to: { path: houses.filter((other) => other !== name).map(house) },
    })),
    {
      name: 'foundation-knows-no-domain',
      severity: 'error',
      from: { path: house('foundation') },
      to: {
        path: [
          '^(tests/style/fixtures/layers/)?(packages/(hypercontainer|kubestack|kubernetes)|proto|apps)/',
        ],
      },
    },
    {
      name: 'nothing-imports-apps',
      severity: 'error',
      from: { path: '^(tests/style/fixtures/layers/)?(packages|proto)/' },
      to: { path: '^(tests/style/fixtures/layers/)?apps/' },
    },
    {
      name: 'api-is-pure',
      comment:
        'kinds, validation, patches: no I/O but reading the generated schemas (node:net only for isIP, which is pure)',
      severity: 'error',
      from: { path: house('kubernetes') + 'api/', pathNot: '(\\.test\\.ts|\\.fixture\\.ts|/schemas\\.ts)$' },
      to: { path: '^(node:)?(fs|http|https|http2|child_process|dgram|tls)(/|$)', dependencyTypes: ['core'] },
    },
    {
      name: 'kubernetes-parts-meet-through-the-api',
      severity: 'error',
      from: {
        path: house('kubernetes') + '(controllers|scheduler|kubelet|proxy)/',
        pathNot: '(\\.(integration\\.)?test\\.ts|\\.fixture\\.ts|/testing/.*)$',
      },
      to: { path: house('kubernetes') + '(apiserver|store)/' },
    },
    {
      name: 'apiserver-knows-no-client-of-its-own',
      severity: 'error',
      from: { path: house('kubernetes') + '(apiserver|store)/', pathNot: '\\.(integration\\.)?test\\.ts$' },
      to: { path: house('kubernetes') + '(controllers|scheduler|kubelet|proxy)/' },
    },
    {
      name: 'providers-are-behind-their-interface',
      severity: 'error',
      from: { path: house('kubestack') + 'provider-api/' },
      to: { path: house('kubestack') + '(local|openstack|server)/' },
    },
    {
      name: 'sandbox-knows-no-front-door',
      severity: 'error',
      from: {
        path: house('hypercontainer') + '(sandbox|hypervisor|guest-agent|image-store)/',
        pathNot: '\\.(integration\\.)?test\\.ts$',
      },
      to: { path: house('hypercontainer') + '(cri|oci)/' },
    },
    {
      name: 'no-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^kubernetes-types/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules/(?!@hypernetes)' },
    exclude: { path: 'proto/generated' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.json'],
    },
  },
};
