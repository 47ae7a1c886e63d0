/** An attachment of a program. It ends when its last reference goes: fd or pin. */
import { unlinkSync } from 'node:fs';
import type { LinkInfo } from '../sys/info.ts';
import { linkInfo, objGet, objPin } from '../sys/info.ts';
import { iterRead, LinkHandle, linkDetach, linkUpdate } from '../sys/link.ts';
import type { ProgramRef } from './program-ref.ts';
import { fdOf } from './program-ref.ts';

export class BpfLink implements Disposable {
  readonly #handle: LinkHandle;
  #pin: string | undefined;

  /** Use `BpfProgram.attach*()` or `BpfLink.openPinned()`. */
  constructor(handle: LinkHandle, pin?: string) {
    this.#handle = handle;
    this.#pin = pin;
  }

  /** Throws BpfError (ENOENT if there is no such pin). */
  static openPinned(path: string): BpfLink {
    return new BpfLink(LinkHandle.fromFd(objGet(path)), path);
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** Where this link was pinned or opened from. */
  get pinPath(): string | undefined {
    return this.#pin;
  }

  info(): LinkInfo {
    return linkInfo(this.fd);
  }

  /** Replaces the program without a gap. With `expected`, only if that program is attached now (else EPERM). */
  update(program: ProgramRef, expected?: ProgramRef): void {
    linkUpdate(this.fd, fdOf(program), expected === undefined ? undefined : fdOf(expected));
  }

  pin(path: string): void {
    objPin(this.fd, path);
    this.#pin = path;
  }

  /** Removes the pin; the attachment lives on as long as this object is open. No pin: does nothing. */
  unpin(): void {
    if (this.#pin === undefined) return;
    unlinkSync(this.#pin);
    this.#pin = undefined;
  }

  /** Ends the attachment now, whoever else holds the link. False where the kernel cannot (tracing and iter links). */
  detach(): boolean {
    return linkDetach(this.fd);
  }

  /** Of iter links: runs the iterator and returns all output of its program. */
  readIter(): Buffer {
    return iterRead(this.fd);
  }

  /** Closes the fd. A pinned link stays attached. */
  close(): void {
    this.#handle.close();
  }

  /** Detaches, unpins and closes. */
  destroy(): void {
    this.detach();
    this.unpin();
    this.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
