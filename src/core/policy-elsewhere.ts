/**
 * Peers that need a part which Postern has not: cloud groups, Kubernetes services, DNS names. Checked as Cilium does, so
 * that a slip is called a slip, and then refused by name.
 */
import {
  at,
  type Fields,
  type FieldTable,
  type Report,
  readEach,
  readFields,
  readObject,
  readString,
  refuse,
  refuseUnsupported,
} from './policy-fields.ts';
import { parseSelector } from './policy-selector.ts';

const GROUP: FieldTable = { known: ['aws'] };
const AWS: FieldTable = { known: ['labels', 'securityGroupsIds', 'securityGroupsNames', 'region'] };
const SERVICE: FieldTable = { known: ['k8sService', 'k8sServiceSelector'] };
const BY_NAME: FieldTable = { known: ['serviceName', 'namespace'] };
const BY_SELECTOR: FieldTable = { known: ['selector', 'namespace'] };
const FQDN: FieldTable = { known: ['matchName', 'matchPattern'] };

export function checkGroups(report: Report, path: string, value: unknown, name: string): void {
  const groups = readEach(report, path, value, (here, group) => {
    const fields = readFields(report, here, group, GROUP);
    const aws = fields?.aws === undefined ? undefined : readFields(report, at(here, 'aws'), fields.aws, AWS);
    for (const list of ['securityGroupsIds', 'securityGroupsNames']) {
      readEach(report, at(at(here, 'aws'), list), aws?.[list], (p, id) => readString(report, p, id));
    }
    if (aws?.labels !== undefined) readObject(report, at(at(here, 'aws'), 'labels'), aws.labels);
    if (aws?.region !== undefined) readString(report, at(at(here, 'aws'), 'region'), aws.region);
    return group;
  });
  if (groups?.length)
    refuseUnsupported(report, path, name, undefined, 'not supported yet: no cloud is asked for its groups');
}

export function checkServices(report: Report, path: string, value: unknown): void {
  const services = readEach(report, path, value, (here, service) => {
    const fields = readFields(report, here, service, SERVICE);
    if (fields?.k8sService !== undefined) {
      const at1 = at(here, 'k8sService');
      checkTexts(report, at1, readFields(report, at1, fields.k8sService, BY_NAME), ['serviceName', 'namespace']);
    }
    if (fields?.k8sServiceSelector !== undefined) {
      const at1 = at(here, 'k8sServiceSelector');
      const by = readFields(report, at1, fields.k8sServiceSelector, BY_SELECTOR);
      checkTexts(report, at1, by, ['namespace']);
      if (by && by.selector === undefined) refuse(report, at(at1, 'selector'), 'selector is required');
      if (by?.selector !== undefined) parseSelector(report, at(at1, 'selector'), by.selector);
    }
    return service;
  });
  if (services?.length)
    refuseUnsupported(report, path, 'toServices', undefined, 'not supported yet: there are no services');
}

export function checkFqdns(report: Report, path: string, value: unknown): void {
  const names = readEach(report, path, value, (here, name) => {
    const fields = checkDnsName(report, here, name);
    if (fields?.matchName && fields.matchPattern) refuse(report, here, 'matchName and matchPattern cannot be combined');
    return name;
  });
  if (names?.length) {
    refuseUnsupported(report, path, 'toFQDNs', undefined, 'not supported yet: addresses of names are not learned');
  }
}

const MAX_DNS_NAME = 255;

/** One `{matchName}` or `{matchPattern}`, also of a DNS rule. */
export function checkDnsName(report: Report, path: string, value: unknown): Fields | undefined {
  const fields = readFields(report, path, value, FQDN);
  if (!fields) return undefined;
  checkText(report, at(path, 'matchName'), fields.matchName, /^[-a-zA-Z0-9_.]*$/, 'letters, digits, "-", "_" and "."');
  const allowed = 'letters, digits, "-", "_", "." and "*"';
  checkText(report, at(path, 'matchPattern'), fields.matchPattern, /^[-a-zA-Z0-9_.*]*$/, allowed);
  return fields;
}

function checkText(report: Report, path: string, value: unknown, syntax: RegExp, allowed: string): void {
  const text = value === undefined ? undefined : readString(report, path, value);
  if (text === undefined) return;
  if (!syntax.test(text)) refuse(report, path, `only ${allowed} are allowed`, text);
  else if (text.length > MAX_DNS_NAME) refuse(report, path, `longer than ${MAX_DNS_NAME} characters`, text.length);
}

/** Those of `names` that are present must be texts. */
export function checkTexts(report: Report, path: string, fields: Fields | undefined, names: readonly string[]): void {
  for (const name of names) if (fields?.[name] !== undefined) readString(report, at(path, name), fields[name]);
}
