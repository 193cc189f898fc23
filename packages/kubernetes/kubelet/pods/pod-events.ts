import type { EventRecorder } from '../../client/index.ts';
import type { Container, Pod } from '../kube-types.ts';

/** Events about a pod or one of its containers. */
export class PodEvents {
  readonly #recorder: EventRecorder;

  constructor(recorder: EventRecorder) {
    this.#recorder = recorder;
  }

  normal(pod: Pod, reason: string, message: string, container?: Pick<Container, 'name'>): void {
    this.#record(pod, 'Normal', reason, message, container);
  }

  warning(pod: Pod, reason: string, message: string, container?: Pick<Container, 'name'>): void {
    this.#record(pod, 'Warning', reason, message, container);
  }

  #record(
    pod: Pod,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    container: Pick<Container, 'name'> | undefined,
  ): void {
    const isInit = pod.spec.initContainers?.some(({ name }) => name === container?.name) === true;
    const list = isInit ? 'spec.initContainers' : 'spec.containers';
    const fieldPath = container === undefined ? undefined : `${list}{${container.name}}`;
    // Items of a list carry neither apiVersion nor kind.
    const object = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
    this.#recorder.event(object, type, reason, message, fieldPath);
  }
}
