import { createHash } from 'node:crypto';
import type { Container } from '../kube-types.ts';

/** Changes when a running container no longer is what the pod asks for: the image is the only mutable part. */
export function containerHash(container: Container): string {
  return createHash('sha256')
    .update(JSON.stringify([container.name, container.image ?? '']))
    .digest('hex')
    .slice(0, 16);
}
