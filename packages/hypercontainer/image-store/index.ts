export type {
  ImageConfig,
  ImageLayer,
  ImageRecord,
  ImageStore,
  PullOptions,
  RegistryAuth,
} from './image-store.ts';
export { createImageStore, type ImageStoreOptions } from './local-image-store.ts';
export { formatReference, parseReference, repositoryName, type ImageReference } from './reference.ts';
