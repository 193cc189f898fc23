export { startKubestackd, type KubestackdOptions } from './kubestackd.ts';
