export { startCriServer, type CriServerOptions } from './cri-server.ts';
export { startHyperd, type HyperdOptions } from './start-hyperd.ts';
