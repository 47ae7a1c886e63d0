/**
 * Wake-ups when an fd is readable, on libuv's own poll (no thread, no timer). Guards around koffi.node.poll:
 * the handle is kept referenced (else garbage collection ends the wake-ups silently), the fd is wrapped in a private
 * epoll fd (two polls of one fd abort the process), the handle is closed before the epoll fd (else abort).
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { checkErrno } from './error.ts';
import { libc } from './libc.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
/** Node >= 25 does not run microtasks and nextTicks after the callback; an empty immediate makes it. */
const FLUSHES_MICROTASKS = Number(process.versions.node.split('.')[0]) < 25;

const live = new Set<ReadableWatch>();

export class ReadableWatch {
  readonly #epoll: number;
  readonly #handle: ReturnType<typeof koffi.node.poll>;
  readonly #onReadable: () => void;
  #armed = false;

  /** `onReadable` must not throw. Starts disarmed. */
  constructor(fd: number, onReadable: () => void) {
    this.#epoll = checkErrno(libc.epollCreate(EPOLL_CLOEXEC), () => 'create epoll fd');
    // struct epoll_event: packed on x86-64, aligned elsewhere; only `events` at 0 matters here.
    const event = Buffer.alloc(16);
    event.writeUInt32LE(EPOLLIN, 0);
    checkErrno(libc.epollCtl(this.#epoll, EPOLL_CTL_ADD, fd, event), () => `watch fd ${fd}`);
    this.#onReadable = () => {
      onReadable();
      if (!FLUSHES_MICROTASKS) setImmediate(() => {});
    };
    this.#handle = koffi.node.poll(this.#epoll, { readable: true }, this.#onReadable);
    this.#handle.stop();
    live.add(this);
  }

  get armed(): boolean {
    return this.#armed;
  }

  arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#handle.start({ readable: true }, this.#onReadable);
  }

  disarm(): void {
    if (!this.#armed) return;
    this.#armed = false;
    this.#handle.stop();
  }

  close(): void {
    if (!live.delete(this)) return;
    this.disarm();
    this.#handle.close();
    closeSync(this.#epoll);
  }
}
