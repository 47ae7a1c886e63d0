/** `libbpf-ts/net`: socket and namespace calls that Node lacks. Needs libc only, not libbpf. */
export { BpfError } from '../sys/error.ts';
export { inNetns } from './netns.ts';
export { netnsCookie } from './netns-cookie.ts';
export type { PeerCred } from './peer-cred.ts';
export { unixPeerCred } from './peer-cred.ts';
export { sdNotify } from './sd-notify.ts';
export type { SocketAddresses, SocketOwner } from './sock-diag.ts';
export { inetDiag, inetDiagUid, sockDestroy } from './sock-diag.ts';
export { socketCookie } from './socket-cookie.ts';
