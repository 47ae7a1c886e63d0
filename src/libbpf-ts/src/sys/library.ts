/** Finds libc and libbpf. libbpf is opened on first use, so that the pure parts and `libbpf-ts/net` work without it. */

import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';

/** Opens libc (glibc, else musl). Throws if neither is there. */
export function loadLibc(): LibraryHandle {
  const musl = `libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`;
  for (const name of ['libc.so.6', musl]) {
    const library = tryLoad(name);
    if (typeof library !== 'string') return library;
  }
  throw new Error('Cannot load libc: neither libc.so.6 nor musl was found');
}

/**
 * Opens libbpf >= 1.0: $LIBBPF_TS_LIBRARY if set (and then nothing else), else libbpf.so.1.
 * libbpf.so.0 is refused by name: it returns ERR_PTR pointers and lacks symbols.
 */
export function loadLibbpf(): LibraryHandle {
  const wanted = process.env.LIBBPF_TS_LIBRARY || 'libbpf.so.1';
  if (/libbpf\.so\.0(\.|$)/.test(wanted))
    throw new Error(`Cannot use "${wanted}": libbpf 0.x is not supported, wanted libbpf.so.1`);
  const library = tryLoad(wanted);
  if (typeof library !== 'string') return library;
  const old = typeof tryLoad('libbpf.so.0') !== 'string';
  throw new Error(
    `Cannot load "${wanted}": ${library}. Install it (Debian, Ubuntu: libbpf1; Fedora, Alpine, Arch: libbpf)` +
      ` or set LIBBPF_TS_LIBRARY to a libbpf.so.1${old ? '. libbpf.so.0 is installed, but its ABI is not supported' : ''}`,
  );
}

function tryLoad(name: string): LibraryHandle | string {
  try {
    return koffi.load(name);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
