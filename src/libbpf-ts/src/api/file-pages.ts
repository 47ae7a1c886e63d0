import { readFileSync, realpathSync } from 'node:fs';
import { checkErrno } from '../sys/error.ts';
import { libc } from '../sys/libc.ts';

const MADV_DONTNEED = 4; // <linux/mman.h>

/**
 * Unmaps the pages of a file that this process only reads, its program's for example: what the start alone needed does
 * not count as resident any more, what is needed again comes back from the page cache. Returns how many bytes were
 * mapped so. A mapping with private pages (relocations) is left alone: they would be lost.
 */
export function releaseFilePages(path: string): number {
  const file = realpathSync(path);
  let bytes = 0;
  for (const { from, to } of readOnlyMappings(readFileSync('/proc/self/smaps', 'utf8'), file)) {
    const length = Number(to - from);
    checkErrno(libc.madvise(from, length, MADV_DONTNEED), () => `release pages of "${file}"`);
    bytes += length;
  }
  return bytes;
}

/** @param smaps text of proc_pid_smaps(5) */
export function readOnlyMappings(smaps: string, file: string): { readonly from: bigint; readonly to: bigint }[] {
  const found: { from: bigint; to: bigint }[] = [];
  let mapping: { from: bigint; to: bigint } | undefined;
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (r-[x-]p) \S+ \S+ \d+ +(.*)$/.exec(line);
    if (head !== null)
      mapping = head[4] === file ? { from: BigInt(`0x${head[1]}`), to: BigInt(`0x${head[2]}`) } : undefined;
    else if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) mapping = undefined;
    else if (mapping !== undefined && /^Anonymous: +0 kB$/.test(line)) found.push(mapping);
  }
  return found;
}
