/** Names the pod a port or attachment serves, for people reading errors and lists; never used as a key. */
export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** `namespace/name`, or the sandbox when no pod is known. */
export function formatHolder(pod: PodReference | undefined, sandboxId: string): string {
  return pod === undefined || pod.name === ''
    ? `sandbox ${sandboxId}`
    : `pod ${pod.namespace}/${pod.name} (sandbox ${sandboxId})`;
}
