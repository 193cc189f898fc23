export { startKubestackd, type KubestackdOptions } from './kubestackd.ts';
export {
  purgeLocalState as purgeKubestack,
  releaseKernelState,
  type RemovalOptions,
} from '../local/index.ts';
