export { EmulatedPod, type PodPort } from './emulated-pod.ts';
export { hostState } from './host-state.ts';
