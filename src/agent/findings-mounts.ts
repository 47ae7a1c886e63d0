import { readFileSync } from 'node:fs';

export interface Mount {
  readonly at: string;
  readonly options: ReadonlySet<string>;
}

/** Of a process's mount namespace; none when it has ended. */
export function readMounts(pid: number, procPath = '/proc'): Mount[] {
  try {
    return parseMounts(readFileSync(`${procPath}/${pid}/mountinfo`, 'utf8'));
  } catch {
    return [];
  }
}

/** /proc/PID/mountinfo, proc(5): the fifth field is where, the sixth how, blanks and the like are octal. */
export function parseMounts(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '))
    .map(([, , , , at = '/', options = '']) => ({
      at: at.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
      options: new Set(options.split(',')),
    }));
}

/** Whether what lies at `path` is mounted so: `ro`, `nosuid`. Of several mounts at one place the last is seen. */
export function isMounted(mounts: readonly Mount[], path: string, option: string): boolean {
  let best: Mount | undefined;
  for (const mount of mounts)
    if (isBelow(path, mount.at) && (best === undefined || mount.at.length >= best.at.length)) best = mount;
  return best?.options.has(option) ?? false;
}

function isBelow(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}
