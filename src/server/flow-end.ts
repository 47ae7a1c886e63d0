/** Conditions on one end of a flow: what `from=`, `to=`, `workload=`, `label=`, `identity=` and `process=` may say. */
import { type SQL, sql } from 'drizzle-orm/sql/sql';
import type { FlowEnd } from '../api/flow.ts';
import { contains, parsePrefix } from '../core/cidr.ts';
import { RESERVED } from '../core/identity.ts';
import { badParameter } from './query.ts';

export interface EndCondition {
  readonly matches: (end: FlowEnd) => boolean;
  readonly where: (side: 'source' | 'destination') => SQL;
}

/** `from` and `to` tell by its form what a value is; the other names say it. */
export function endCondition(name: 'from' | 'to' | 'workload' | 'label' | 'identity', text: string): EndCondition {
  if (name === 'workload') return workloadCondition(name, text);
  if (name === 'label') return labelCondition(text);
  if (name === 'identity') return identityCondition(name, text);
  const prefix = parsePrefix(text, { bare: true });
  if (prefix !== undefined) return addressCondition(text);
  if (/^\d+$/.test(text) || text in RESERVED) return identityCondition(name, text);
  if (text.includes('=') || text.includes(':')) return labelCondition(text);
  return workloadCondition(name, text);
}

function workloadCondition(name: string, text: string): EndCondition {
  const glob = text.endsWith('/') ? `${text}*` : text;
  if (!/^[a-z0-9*][-a-z0-9*]*\/[a-z0-9*][-a-z0-9.*]*$/.test(glob)) {
    const what = name === 'workload' ? 'a workload' : 'a workload, address, prefix, label, identity or reserved name';
    throw badParameter(name, text, `must be ${what}, such as shop/frontend`);
  }
  if (!glob.includes('*')) {
    return {
      matches: (end) => end.workload === glob,
      where: (side) => sql`${sql.raw(`${side}_workload`)} = ${glob}`,
    };
  }
  const pattern = new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
  return {
    matches: (end) => end.workload !== undefined && pattern.test(end.workload),
    where: (side) => sql`${sql.raw(`${side}_workload`)} ~ ${pattern.source}`,
  };
}

function identityCondition(name: string, text: string): EndCondition {
  const id = text in RESERVED ? RESERVED[text as keyof typeof RESERVED] : /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (id < 0) throw badParameter(name, text, 'must be the number of an identity, or the name of a reserved one');
  // "world" is all that is outside, by address family.
  const ids = text === 'world' ? [RESERVED.world, RESERVED['world-ipv4'], RESERVED['world-ipv6']] : [id];
  return {
    matches: (end) => end.identity !== undefined && ids.includes(end.identity),
    where: (side) => sql`${sql.raw(`${side}_identity`)} = any (${sql.param(ids)}::bigint[])`,
  };
}

/** `app=web` of any source, `user:app=web` of that one; without `=` any value. */
function labelCondition(text: string): EndCondition {
  const isSame = (label: string) => label === text || label.startsWith(`${text}=`);
  return {
    matches: (end) =>
      [...(end.labels ?? []), ...(end.derived ?? [])].some(
        (label) => isSame(label) || isSame(label.slice(label.indexOf(':') + 1)),
      ),
    where: (side) => sql`exists (
      select from (
          select json_array_elements_text(body->${side}->'labels') union all
          select json_array_elements_text(body->${side}->'derived')) as l (label),
        lateral (values (label), (substr(label, strpos(label, ':') + 1))) as n (name)
      where name = ${text} or starts_with(name, ${`${text}=`}))`,
  };
}

function addressCondition(text: string): EndCondition {
  const outer = parsePrefix(text, { bare: true })!;
  return {
    matches(end) {
      const inner = end.ip === undefined ? undefined : parsePrefix(end.ip, { bare: true });
      return inner !== undefined && contains(outer, inner);
    },
    where: (side) => sql`(body->${side}->>'ip')::inet <<= ${text}::inet`,
  };
}

/** A pid; a path, with `*`; or the last part of a path. */
export function processCondition(text: string): EndCondition {
  if (/^\d+$/.test(text)) {
    const pid = Number(text);
    return {
      matches: (end) => end.process?.pid === pid,
      where: (side) => sql`(body->${side}->'process'->>'pid')::bigint = ${pid}`,
    };
  }
  const quoted = text.replaceAll(/[.+^${}()|[\]\\?]/g, '\\$&').replaceAll('*', '.*');
  const pattern = new RegExp(text.startsWith('/') ? `^${quoted}$` : `(^|/)${quoted}$`);
  return {
    matches: (end) => end.process?.exe !== undefined && pattern.test(end.process.exe),
    where: (side) => sql`body->${side}->'process'->>'exe' ~ ${pattern.source}`,
  };
}
