export { PlatformError, isPlatformError, toPlatformError, reasons, type Reason } from './platform-error.ts';
export { grpcCodeOf, httpStatusOf, kubernetesReasonOf, reasonOfGrpcCode } from './wire-mapping.ts';
