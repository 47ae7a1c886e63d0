/**
 * What stands beside `ports` in a port rule: `rules` (HTTP, DNS, Kafka, key-value), TLS, server names, listeners.
 * Checked as Cilium 1.19 does, and then refused by name: it needs a proxy. An empty `rules` has no effect.
 */
import { checkDnsName, checkTexts } from './policy-elsewhere.ts';
import {
  at,
  type Fields,
  type FieldTable,
  type Report,
  readEach,
  readFields,
  readList,
  readObject,
  readString,
  refuse,
  refuseUnsupported,
} from './policy-fields.ts';
import { checkKafkaRule } from './policy-kafka.ts';
import { type PortSet, PROTOCOLS } from './protocol.ts';
import { regexProblem } from './regex-syntax.ts';

export interface PortScope {
  readonly direction: 'ingress' | 'egress';
  readonly deny: boolean;
  /** A host policy. */
  readonly host: boolean;
}

export const ALLOW_ONLY = ['terminatingTLS', 'originatingTLS', 'serverNames', 'listener', 'rules'] as const;

const KINDS = ['http', 'dns', 'kafka', 'l7'] as const;
const RULES: FieldTable = { within: 'rules.', known: [...KINDS, 'l7proto'] };
const HTTP: FieldTable = { known: ['path', 'method', 'host', 'headers', 'headerMatches'] };
const HEADER: FieldTable = { known: ['name', 'value', 'secret', 'mismatch'] };
const SECRET: FieldTable = { known: ['namespace', 'name'] };
const MISMATCHES = ['LOG', 'ADD', 'DELETE', 'REPLACE'];
const TLS: FieldTable = { known: ['secret', 'trustedCA', 'certificate', 'privateKey'] };
const LISTENER: FieldTable = { known: ['envoyConfig', 'name', 'priority'] };
const ENVOY: FieldTable = { known: ['kind', 'name'] };
const NEEDS_PROXY = 'not supported yet: there is no proxy';

/** @param ports of the same port rule @param here the rule's path */
export function checkPortRule(
  report: Report,
  here: string,
  fields: Fields,
  ports: readonly PortSet[],
  scope: PortScope,
): void {
  const rules = fields.rules === undefined ? undefined : readFields(report, at(here, 'rules'), fields.rules, RULES);
  const isEmpty = KINDS.every((kind) => lengthOf(rules?.[kind]) === 0);
  if (rules && !isEmpty) checkRules(report, at(here, 'rules'), rules, ports, scope);
  for (const name of ['terminatingTLS', 'originatingTLS'] as const)
    checkTls(report, at(here, name), fields[name], name);
  checkServerNames(report, at(here, 'serverNames'), fields, isEmpty);
  checkListener(report, at(here, 'listener'), fields.listener, isEmpty, scope);
  for (const kind of KINDS) {
    if (lengthOf(rules?.[kind]) > 0)
      refuseUnsupported(report, at(at(here, 'rules'), kind), `rules.${kind}`, undefined, NEEDS_PROXY);
  }
  if (rules?.l7proto)
    refuseUnsupported(report, at(at(here, 'rules'), 'l7proto'), 'rules.l7proto', undefined, NEEDS_PROXY);
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : value === undefined ? 0 : 1;
}

function checkRules(report: Report, path: string, rules: Fields, ports: readonly PortSet[], scope: PortScope): void {
  const isDns = lengthOf(rules.dns) > 0;
  const given = [
    ...KINDS.slice(0, 3).filter((kind) => rules[kind] !== undefined),
    ...(rules.l7proto ? ['l7proto'] : []),
  ];
  if (given.length > 1) refuse(report, path, `${given.join(' and ')} cannot be combined in one port rule`);
  if (rules.l7 !== undefined && !rules.l7proto) refuse(report, at(path, 'l7'), 'l7 needs l7proto');
  if (isDns && scope.direction === 'ingress') refuse(report, at(path, 'dns'), 'DNS rules are not allowed on ingress');
  if (
    scope.host &&
    (scope.direction === 'ingress' || KINDS.some((kind) => kind !== 'dns' && lengthOf(rules[kind]) > 0))
  ) {
    refuse(report, path, `a host policy knows no such rules on ${scope.direction}`);
  }
  if (rules.dns !== undefined && ports.length === 0) refuse(report, at(path, 'dns'), 'DNS rules need a port');
  for (const set of ports) {
    if (!isDns && (set.protocols.length !== 1 || set.protocols[0] !== PROTOCOLS.TCP)) {
      refuse(report, path, 'all but DNS rules are for TCP only: every port must have protocol TCP');
    }
    if ('from' in set && set.from === 0) refuse(report, path, 'cannot be used with port 0');
    else if ('from' in set && isDns && set.to > set.from) refuse(report, path, 'DNS rules know no port ranges');
  }
  readEach(report, at(path, 'http'), rules.http, (here, rule) => checkHttp(report, here, rule));
  readEach(report, at(path, 'dns'), rules.dns, (here, rule) => checkDnsName(report, here, rule));
  readEach(report, at(path, 'kafka'), rules.kafka, (here, rule) => checkKafkaRule(report, here, rule));
  readEach(report, at(path, 'l7'), rules.l7, (here, rule) => checkKeyValues(report, here, rule));
  checkTexts(report, path, rules, ['l7proto']);
}

function checkHttp(report: Report, path: string, value: unknown): undefined {
  const fields = readFields(report, path, value, HTTP);
  checkTexts(report, path, fields, ['path', 'method', 'host']);
  for (const name of ['path', 'method']) {
    const text = fields?.[name];
    const problem = typeof text === 'string' ? regexProblem(text) : undefined;
    if (problem) refuse(report, at(path, name), `not a regular expression: ${problem}`, text);
  }
  readEach(report, at(path, 'headers'), fields?.headers, (here, header) => readString(report, here, header));
  readEach(report, at(path, 'headerMatches'), fields?.headerMatches, (here, header) =>
    checkHeader(report, here, header),
  );
}

function checkHeader(report: Report, path: string, value: unknown): undefined {
  const fields = readFields(report, path, value, HEADER);
  if (!fields) return;
  checkTexts(report, path, fields, ['name', 'value', 'mismatch']);
  if (!fields.name) refuse(report, at(path, 'name'), 'name is required');
  if (fields.mismatch && !MISMATCHES.includes(fields.mismatch as string)) {
    refuse(report, at(path, 'mismatch'), 'unknown action', fields.mismatch, MISMATCHES);
  }
  if (fields.secret !== undefined) checkSecret(report, at(path, 'secret'), fields.secret);
}

function checkSecret(report: Report, path: string, value: unknown): void {
  const secret = readFields(report, path, value, SECRET);
  checkTexts(report, path, secret, ['namespace', 'name']);
  if (secret && !secret.name) refuse(report, at(path, 'name'), 'name is required');
}

function checkKeyValues(report: Report, path: string, value: unknown): undefined {
  for (const [key, text] of Object.entries(readObject(report, path, value) ?? {})) {
    if (key === '') refuse(report, path, 'a key must not be empty');
    readString(report, at(path, key), text);
  }
}

function checkTls(report: Report, path: string, value: unknown, name: string): void {
  if (value === undefined) return;
  const fields = readFields(report, path, value, TLS);
  checkTexts(report, path, fields, ['trustedCA', 'certificate', 'privateKey']);
  if (fields?.secret !== undefined) checkSecret(report, at(path, 'secret'), fields.secret);
  refuseUnsupported(report, path, name, undefined, NEEDS_PROXY);
}

function checkServerNames(report: Report, path: string, fields: Fields, noRules: boolean): void {
  if (fields.serverNames === undefined) return;
  const names = readList(report, path, fields.serverNames) ?? [];
  for (const [i, name] of names.entries()) {
    if (name === '') refuse(report, at(path, i), 'a server name must not be empty');
    else readString(report, at(path, i), name);
  }
  if (names.length === 0) return;
  if (!noRules && fields.terminatingTLS === undefined) {
    refuse(report, path, 'serverNames and rules can only be combined with terminatingTLS');
  }
  refuseUnsupported(report, path, 'serverNames', undefined, NEEDS_PROXY);
}

function checkListener(report: Report, path: string, value: unknown, noRules: boolean, scope: PortScope): void {
  if (value === undefined) return;
  const fields = readFields(report, path, value, LISTENER);
  const envoy =
    fields?.envoyConfig === undefined
      ? undefined
      : readFields(report, at(path, 'envoyConfig'), fields.envoyConfig, ENVOY);
  checkTexts(report, path, fields, ['name']);
  checkTexts(report, at(path, 'envoyConfig'), envoy, ['kind', 'name']);
  if (scope.direction === 'ingress') refuse(report, path, 'a listener is not allowed on ingress');
  if (!noRules) refuse(report, path, 'listener and rules cannot be combined');
  refuseUnsupported(report, path, 'listener', undefined, NEEDS_PROXY);
}
