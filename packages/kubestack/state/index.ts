export { Broadcast } from './broadcast.ts';
export { StateDatabase, isUniqueViolation, kubestackDirectory, type Row } from './state-database.ts';
