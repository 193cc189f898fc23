export { callUnary, callStream, clientOptions, unixAddress } from './client.ts';
export { handleUnary, handleServerStream, startGrpcServer, type RunningGrpcServer } from './server.ts';
