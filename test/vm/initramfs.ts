import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const FOLDER = 0o040755;
const LINK = 0o120777;

/** An initramfs under construction: paths of the guest, as a gzipped newc archive. */
export class Initramfs {
  readonly #entries = new Map<string, readonly [mode: number, data: Buffer]>();

  folder(path: string): void {
    if (path === '/' || this.#entries.has(path)) return;
    this.folder(dirname(path));
    this.#entries.set(path, [FOLDER, Buffer.alloc(0)]);
  }

  file(path: string, data: Buffer | string, mode = 0o755): void {
    this.folder(dirname(path));
    this.#entries.set(path, [0o100000 | mode, Buffer.from(data)]);
  }

  link(path: string, to: string): void {
    this.folder(dirname(path));
    this.#entries.set(path, [LINK, Buffer.from(to)]);
  }

  /** A file or a folder of this machine, links as links; `keep` says which paths of it. */
  copy(from: string, to = from, keep: (path: string) => boolean = () => true): void {
    if (!keep(from)) return;
    const what = lstatSync(from);
    if (what.isSymbolicLink()) this.link(to, readlinkSync(from));
    else if (what.isDirectory()) {
      this.folder(to);
      for (const name of readdirSync(from)) this.copy(join(from, name), join(to, name), keep);
    } else if (what.isFile()) this.file(to, readFileSync(from), what.mode & 0o777);
  }

  /** A program of this machine with the libraries that it needs, each where the loader looks for it. */
  program(from: string, to = from): void {
    this.file(to, readFileSync(realpathSync(from)));
    this.libraries(from);
  }

  libraries(of: string): void {
    const listed = execFileSync('ldd', [realpathSync(of)], { encoding: 'utf8' });
    for (const [, path] of listed.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm))
      if (!this.#entries.has(path!) && existsSync(path!)) this.file(path!, readFileSync(realpathSync(path!)));
  }

  pack(): Buffer {
    const parts: Buffer[] = [];
    let inode = 1;
    for (const [path, [mode, data]] of [...this.#entries, ['TRAILER!!!', [0, Buffer.alloc(0)]] as const]) {
      const name = Buffer.from(`${path.replace(/^\//, '')}\0`);
      const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
      const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
      parts.push(padded(Buffer.concat([Buffer.from(head), name])), padded(data));
    }
    return gzipSync(Buffer.concat(parts), { level: 1 });
  }
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}
