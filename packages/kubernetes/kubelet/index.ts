export { startKubelet, type Kubelet } from './kubelet.ts';
export type { KubeletOptions } from './kubelet-options.ts';
