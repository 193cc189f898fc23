export { ServiceTables, planServiceChange, type ServiceChange } from './service-tables.ts';
