/** Program names of bpf/, in the order in which they are attached. */
export const TRACING_PROGRAMS = [
  'on_mkdir',
  'on_rmdir',
  'on_attach',
  'on_fork',
  'on_exec',
  'on_exit',
  'on_state',
] as const;

/** Labels before verdicts: the hooks that fill `local` and the sockets' storage come first. */
export const SOCKET_PROGRAMS = [
  'on_sock_create',
  'on_post_bind4',
  'on_post_bind6',
  'on_sock_release',
  'on_bind4',
  'on_bind6',
  'on_connect4',
  'on_connect6',
  'on_sendmsg4',
  'on_sendmsg6',
  'on_ingress',
  'on_egress',
  'on_device',
] as const;

/** Verdicts go before labels, so that nothing is judged without its label on the way out. */
export const DETACH_ORDER: readonly string[] = [...SOCKET_PROGRAMS].reverse();
