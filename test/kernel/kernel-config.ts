/** Which options the running kernel was built with, from /proc/config.gz or /boot; nothing known = nothing missing. */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';

/** The running kernel's version is this or newer. */
export function isKernelAtLeast(major: number, minor: number): boolean {
  const [, have, sub] = /^(\d+)\.(\d+)/.exec(release())!;
  return Number(have) > major || (Number(have) === major && Number(sub) >= minor);
}

let text: string | undefined;

/** "IPV6_MIP6": built in or as a module. */
export function hasKernelOption(name: string): boolean {
  text ??= read();
  return text === '' || new RegExp(`^CONFIG_${name}=[ym]$`, 'm').test(text);
}

function read(): string {
  if (existsSync('/proc/config.gz')) return gunzipSync(readFileSync('/proc/config.gz')).toString();
  const boot = `/boot/config-${release()}`;
  return existsSync(boot) ? readFileSync(boot, 'utf8') : '';
}
