import { PlatformError } from '@hypernetes/foundation/errors';
import { parseQuantity } from '../../api/index.ts';
import type { Container, Pod } from '../kube-types.ts';

/** What fields of a pod are read from besides the object itself. */
export interface PodFacts {
  readonly nodeName: string;
  readonly hostAddress: string;
  /** Empty before the sandbox runs. */
  readonly podAddresses: readonly string[];
  readonly allocatableCpuMillis: number;
  readonly allocatableMemoryBytes: number;
}

/** The value of an ObjectFieldSelector path. Invalid for a path that is not offered. */
export function readFieldPath(pod: Pod, path: string, facts: PodFacts): string {
  const subscript = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2] ?? ''] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace;
    case 'metadata.uid':
      return pod.metadata.uid;
    case 'metadata.labels':
      return formatMap(pod.metadata.labels);
    case 'metadata.annotations':
      return formatMap(pod.metadata.annotations);
    case 'spec.nodeName':
      return pod.spec.nodeName ?? facts.nodeName;
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return facts.hostAddress;
    case 'status.podIP':
      return facts.podAddresses[0] ?? '';
    case 'status.podIPs':
      return facts.podAddresses.join(',');
    default:
      throw new PlatformError('Invalid', `unsupported fieldPath: ${path}`);
  }
}

/** One key="value" per line, as the downward API writes labels and annotations. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/** The value of a ResourceFieldSelector: a whole number of divisors, rounded up; limits default to what the node has. */
export function readResourceField(
  container: Container,
  selector: { readonly resource: string; readonly divisor?: string },
  facts: PodFacts,
): string {
  const match = /^(limits|requests)\.(cpu|memory|ephemeral-storage)$/.exec(selector.resource);
  if (match === null) {
    throw new PlatformError('Invalid', `unsupported container resource: ${selector.resource}`);
  }
  const [, list, name = ''] = match;
  const { limits, requests } = container.resources ?? {};
  const quantity = list === 'limits' ? limits?.[name] : (requests?.[name] ?? '0');
  const nano = quantity === undefined ? allocatableNano(name, facts) : parseQuantity(quantity).nano;
  const given = parseQuantity(selector.divisor ?? '0').nano;
  const divisor = given === 0n ? 1_000_000_000n : given;
  return String((nano + divisor - 1n) / divisor);
}

function allocatableNano(name: string, facts: PodFacts): bigint {
  if (name === 'cpu') return BigInt(facts.allocatableCpuMillis) * 1_000_000n;
  if (name === 'memory') return BigInt(facts.allocatableMemoryBytes) * 1_000_000_000n;
  return 0n;
}
