export { startKubestackd, type KubestackdOptions } from './kubestackd.ts';
export {
  purgeLocalState as purgeKubestack,
  removeKernelState as stopKubestackKernelState,
} from '../local/index.ts';
