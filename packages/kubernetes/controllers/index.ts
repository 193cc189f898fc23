export { startControllers, type Controllers, type ControllersOptions } from './start-controllers.ts';
export type { AdvertisedAddress } from './bootstrap/bootstrap-objects.ts';
