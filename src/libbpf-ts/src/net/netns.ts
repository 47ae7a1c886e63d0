/** Runs a function in another network namespace. */
import { closeSync, openSync } from 'node:fs';
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const CLONE_NEWNET = 0x4000_0000;

/**
 * Enters the network namespace `path` ("/proc/123/ns/net", "/run/netns/x") with the calling thread, runs `run`, and
 * returns. Only synchronous work happens there: sockets and iterators opened in `run` keep that namespace, a promise is
 * refused. Needs CAP_SYS_ADMIN. If the way back fails the thread is in the wrong namespace: the error says so, and the
 * process must end.
 */
export function inNetns<T>(path: string, run: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const target = openSync(path, 'r');
    try {
      checkErrno(libc.setns(target, CLONE_NEWNET), () => `enter network namespace "${path}"`, {
        hint: 'needs CAP_SYS_ADMIN',
      });
    } finally {
      closeSync(target);
    }
    let result: T;
    try {
      result = run();
    } finally {
      checkErrno(libc.setns(home, CLONE_NEWNET), () => `return from network namespace "${path}"`, {
        hint: 'this thread is still there, the process must end',
      });
    }
    if (result instanceof Promise)
      throw new TypeError('inNetns: the function must be synchronous, it returned a promise');
    return result;
  } finally {
    closeSync(home);
  }
}
