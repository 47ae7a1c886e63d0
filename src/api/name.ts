/** Names, labels and ports as they appear in paths and bodies. */
import * as v from 'valibot';
import { LISTENING } from '../core/named-port.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/;
const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const PORT = /^([0-9]{1,5})\/(tcp|udp|sctp)$/i;
/** IANA service name, as Kubernetes takes it for a named port. */
const PORT_NAME = /^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/;

const DNS_LABEL_RULE = 'lower-case letters, digits and "-", at most 63, beginning and ending with a letter or digit';

export const NamespaceName = v.pipe(v.string(), v.regex(DNS_LABEL, `must be a DNS label: ${DNS_LABEL_RULE}`));

export const ObjectName = v.pipe(
  v.string(),
  v.maxLength(253, 'must have at most 253 characters'),
  v.regex(DNS_SUBDOMAIN, `must be a DNS name: parts joined by ".", each ${DNS_LABEL_RULE}`),
);

/** A host may be called what `uname -n` says, so upper case and "_" pass. */
export const HostName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?$/, 'must be a host name: letters, digits, "-", "_", "."'),
);

export const LabelKey = v.pipe(
  v.string(),
  v.check(isLabelKey, 'must be a label key: [prefix/]name, name at most 63 of letters, digits, "-", "_", "."'),
);

export const LabelValue = v.pipe(
  v.string(),
  v.regex(LABEL_VALUE, 'must be a label value: at most 63 of letters, digits, "-", "_", "."'),
);

/** Kubernetes labels; at most 64 of them. */
export const Labels = v.pipe(
  v.record(LabelKey, LabelValue),
  v.check((labels) => Object.keys(labels).length <= 64, 'must have at most 64 labels'),
);

/** `8080/tcp` or `8080/TCP` in, `8080/TCP` out. */
export const Port = v.pipe(
  v.string(),
  v.check((text) => {
    const match = PORT.exec(text);
    return match !== null && Number(match[1]) >= 1 && Number(match[1]) <= 65535;
  }, 'must be a port such as "8080/TCP": 1..65535, "/", and TCP, UDP or SCTP'),
  v.transform((text) => text.toUpperCase()),
);

export const NamedPorts = v.record(
  v.pipe(v.string(), v.regex(PORT_NAME, 'must be a port name: at most 15 of a-z, 0-9, "-", with a letter')),
  v.union([v.literal(LISTENING), Port], `must be a port such as "8080/TCP", or "${LISTENING}": what it listens on now`),
);

export function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash === -1) return LABEL_NAME.test(key);
  const prefix = key.slice(0, slash);
  return prefix.length <= 253 && DNS_SUBDOMAIN.test(prefix) && LABEL_NAME.test(key.slice(slash + 1));
}

export function isLabelValue(value: string): boolean {
  return LABEL_VALUE.test(value);
}
