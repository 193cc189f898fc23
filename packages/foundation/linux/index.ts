export { ip, ipBatch, ipJson, netnsExists } from './ip.ts';
export { nft, nftDeleteTable } from './nft.ts';
