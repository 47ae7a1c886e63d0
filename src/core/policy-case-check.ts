/** Whether a policy test case is written as one: every field of its endpoints, namespaces and probes by name and type. */
import { parseAddress } from './cidr.ts';
import { RESERVED } from './identity.ts';
import { nearest } from './nearest.ts';
import { at, typeName } from './policy-fields.ts';
import type { FieldError } from './problem.ts';
import { PORTLESS, PROTOCOLS } from './protocol.ts';

/**
 * What is wrong, each with a JSON pointer; nothing: it can be read.
 * @param strict also fields that nobody knows: rows that machines wrote may carry more than the format has
 */
export function checkCase(row: Readonly<Record<string, unknown>>, strict: boolean): FieldError[] {
  const errors = Object.entries(PARTS).flatMap(([name, read]) =>
    row[name] === undefined ? [] : read(at('', name), row[name], strict),
  );
  return [...errors, ...sameNames(row.endpoints)];
}

type Reader = (path: string, value: unknown, strict: boolean) => FieldError[];

const must = (path: string, what: string, value: unknown): FieldError[] => [
  { path, message: `must be ${what}`, value },
];
const wrongType = (path: string, what: string, value: unknown) => must(path, `${what}, is ${typeName(value)}`, value);

const text: Reader = (path, value) => (typeof value === 'string' ? [] : wrongType(path, 'a text', value));
const flag: Reader = (path, value) => (typeof value === 'boolean' ? [] : wrongType(path, 'true or false', value));
const address: Reader = (path, value) =>
  typeof value === 'string' && parseAddress(value) ? [] : must(path, 'an address', value);
const upTo =
  (max: number): Reader =>
  (path, value) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max
      ? []
      : must(path, `a number, 0 to ${max}`, value);
const portOrName: Reader = (path, value, strict) => (typeof value === 'string' ? [] : upTo(65535)(path, value, strict));
const oneOf =
  (allowed: readonly string[], fold = false): Reader =>
  (path, value) => {
    const word = fold && typeof value === 'string' ? value.toUpperCase() : value;
    return allowed.includes(word as string) ? [] : must(path, `one of ${allowed.join(', ')}`, value);
  };
const labels: Reader = (path, value, strict) =>
  isRecord(value)
    ? Object.entries(value).flatMap(([key, member]) => text(at(path, key), member, strict))
    : wrongType(path, 'an object', value);
const each =
  (read: Reader): Reader =>
  (path, value, strict) =>
    Array.isArray(value)
      ? value.flatMap((member, i) => read(at(path, i), member, strict))
      : wrongType(path, 'a list', value);
const object =
  (fields: Readonly<Record<string, Reader>>, required: readonly string[]): Reader =>
  (path, value, strict) => {
    if (!isRecord(value)) return wrongType(path, 'an object', value);
    const missing = required.filter((name) => value[name] === undefined || value[name] === null);
    const wrong = Object.entries(value).flatMap(([name, member]) => {
      const here = at(path, name);
      const read = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (read === undefined) return strict ? [unknownField(here, name, Object.keys(fields))] : [];
      return member === undefined || member === null ? [] : read(here, member, strict);
    });
    return [...missing.map((name) => ({ path: at(path, name), message: 'is required' })), ...wrong];
  };

const VERDICT = oneOf(['allow', 'deny', 'drop']);
const PORT = object({ port: upTo(65535), protocol: oneOf(Object.keys(PROTOCOLS)), name: text }, ['port']);
const PARTS: Readonly<Record<string, Reader>> = {
  name: text,
  namespaces: each(object({ name: text, labels }, ['name'])),
  endpoints: each(
    object(
      {
        ...{ name: text, kind: oneOf(['endpoint', 'external', ...Object.keys(RESERVED)]), namespace: text, labels },
        ...{ ip: address, cluster: text, serviceAccount: text, ports: each(PORT) },
        ...{ nodeLabels: labels, hostFirewall: flag },
      },
      ['name'],
    ),
  ),
  probes: each(
    object(
      {
        ...{ from: text, to: text, port: portOrName, portName: text },
        protocol: oneOf([...Object.keys(PROTOCOLS), ...Object.keys(PORTLESS), 'ICMP', 'ICMPV6'], true),
        icmp: object({ family: oneOf(['IPv4', 'IPv6']), type: upTo(255) }, ['type']),
        ...{ expect: VERDICT, expectCilium: VERDICT, ingress: VERDICT, egress: VERDICT },
        ...{ loopback: flag, twoWay: flag },
      },
      ['from', 'to', 'expect'],
    ),
  ),
  enforcement: oneOf(['default', 'always', 'never']),
  clusterName: text,
};

/** Of probes in the conformance tables: what a proxy would have to see. */
const NEED_PROXY = ['http', 'dns', 'kafka', 'tls'];

function unknownField(path: string, name: string, allowed: readonly string[]): FieldError {
  if (NEED_PROXY.includes(name) && allowed.includes('expect'))
    return { path, message: `${name} is not supported yet: there is no proxy` };
  const near = nearest(name, allowed);
  return { path, message: `unknown field "${name}"${near === undefined ? '' : `, did you mean "${near}"?`}`, allowed };
}

function sameNames(endpoints: unknown): FieldError[] {
  const names = (Array.isArray(endpoints) ? endpoints : []).map((one) => (isRecord(one) ? one.name : undefined));
  return names.flatMap((name, i) =>
    name !== undefined && names.indexOf(name) < i
      ? [{ path: `/endpoints/${i}/name`, message: 'is the name of another endpoint too', value: name }]
      : [],
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
