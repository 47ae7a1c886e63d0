/** A match clause in one line, and as the flags of `postern workload put` that would write it. */
import { quote } from './curl.ts';

/** Wire shape of one clause (src/api/workload.ts). */
export interface ClauseLike {
  readonly systemdUnit?: string;
  readonly systemdUserUnit?: string;
  readonly container?: {
    readonly name?: string;
    readonly image?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly cgroup?: string;
  readonly process?: {
    readonly exe?: string;
    readonly script?: string;
    readonly user?: string;
    readonly args?: readonly string[];
    readonly env?: readonly string[];
    readonly argsRegex?: string;
  };
  readonly listen?: readonly string[];
}

/** `exe=/usr/bin/java user=app arg=-jar` */
export function clauseText(clause: ClauseLike): string {
  return fields(clause)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** `--exe /usr/bin/java --user app --arg=-jar`, quoted for a shell. */
export function clauseFlags(clause: ClauseLike): string {
  return fields(clause)
    .map(([name, value]) =>
      value.startsWith('-') ? `--${FLAGS[name]}=${quote(value)}` : `--${FLAGS[name]} ${quote(value)}`,
    )
    .join(' ');
}

const FLAGS = {
  unit: 'systemd-unit',
  userUnit: 'systemd-user-unit',
  container: 'container',
  containerImage: 'container-image',
  containerLabel: 'container-label',
  cgroup: 'cgroup',
  exe: 'exe',
  script: 'script',
  user: 'user',
  arg: 'arg',
  env: 'env',
  argsRegex: 'args-regex',
  listen: 'listen',
} as const;

function fields(clause: ClauseLike): [keyof typeof FLAGS, string][] {
  const rows: [keyof typeof FLAGS, string | undefined][] = [
    ['unit', clause.systemdUnit],
    ['userUnit', clause.systemdUserUnit],
    ['container', clause.container?.name],
    ['containerImage', clause.container?.image],
    ...Object.entries(clause.container?.labels ?? {}).map(([key, value]): [keyof typeof FLAGS, string] => [
      'containerLabel',
      `${key}=${value}`,
    ]),
    ['cgroup', clause.cgroup],
    ['exe', clause.process?.exe],
    ['script', clause.process?.script],
    ['user', clause.process?.user],
    ...(clause.process?.args ?? []).map((arg): [keyof typeof FLAGS, string] => ['arg', arg]),
    ...(clause.process?.env ?? []).map((variable): [keyof typeof FLAGS, string] => ['env', variable]),
    ['argsRegex', clause.process?.argsRegex],
    ...(clause.listen ?? []).map((port): [keyof typeof FLAGS, string] => ['listen', port]),
  ];
  return rows.filter((row): row is [keyof typeof FLAGS, string] => row[1] !== undefined);
}
