import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePolicy } from '../../src/core/policy.ts';
import { ccnp, cnp, egress, ingress, netpol, port } from './policy-document.ts';

type Row = readonly [document: unknown, path: string, message: string];

/** Refused with 400: the document is malformed. */
const MALFORMED: readonly Row[] = [
  [undefined, '', 'must be an object, not missing'],
  [[], '', 'must be an object, not a list'],
  [{}, '/kind', 'kind must be a policy'],
  [{ ...cnp({}), kind: 'CiliumNetworkPolicies' }, '/kind', 'kind must be a policy'],
  [{ ...ingress({}), apiVersion: 'cilium.io/v1' }, '/apiVersion', 'must be cilium.io/v2'],
  [{ ...ingress({}), apiversion: 'x' }, '/apiversion', 'unknown field `apiversion`, did you mean `apiVersion`?'],
  [
    { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'p' } },
    '/spec',
    'spec or specs is required',
  ],
  [cnp({ endpointSelector: {}, ingress: [{}] }, {}), '/metadata/name', 'name is required'],
  [cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'A' }), '/metadata/name', 'must be a DNS name'],
  [
    cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'a', namespace: 'a.b' }),
    '/metadata/namespace',
    'must be a DNS label',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'a', nmaespace: 'b' }),
    '/metadata/nmaespace',
    'did you mean `namespace`?',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'a', annotations: { a: 1 } }),
    '/metadata/annotations/a',
    'must be a string, not a number',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'a', annotations: { 'postern.dev/mode': 'x' } }),
    '/metadata/annotations/postern.dev~1mode',
    'unknown mode',
  ],
  [
    { ...ccnp({ endpointSelector: {}, ingress: [{}] }), metadata: { name: 'a', namespace: 'b' } },
    '/metadata/namespace',
    'has no namespace',
  ],
  [cnp({ ingress: [{}] }), '/spec/endpointSelector', 'endpointSelector is required'],
  [cnp({ endpointSelector: {} }), '/spec', 'at least one of ingress'],
  [cnp({ endpointSelector: {}, ingress: [], egress: [] }), '/spec', 'at least one of ingress'],
  [cnp({ endpointSelector: {}, ingres: [{}] }), '/spec/ingres', 'unknown field `ingres`, did you mean `ingress`?'],
  [cnp({ endpointSelector: {}, ingress: {} }), '/spec/ingress', 'must be a list, not an object'],
  [
    ingress({ toPorts: [{ ports: [{ port: '80', endPort: '90', protocol: 'TCP' }] }] }),
    '/spec/ingress/0/toPorts/0/ports/0/endPort',
    'must be a number, 0 to 65535, not a string',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: '90' }] }] }),
    '/spec/ingress/0/ports/0/endPort',
    'must be a number',
  ],
  [cnp({ endpointSelector: {}, ingress: [null] }), '/spec/ingress/0', 'must be an object, not null'],
  [
    cnp({ endpointSelector: {}, ingress: [{}], enableDefaultDeny: { ingress: 'no' } }),
    '/spec/enableDefaultDeny/ingress',
    'must be true or false, not a string: write false',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [{}], enableDefaultDeny: { both: true } }),
    '/spec/enableDefaultDeny/both',
    'unknown field',
  ],
  [cnp({ endpointSelector: {}, ingress: [{}], description: 1 }), '/spec/description', 'must be a string'],
  [
    cnp({ endpointSelector: { matchlabels: {} }, ingress: [{}] }),
    '/spec/endpointSelector/matchlabels',
    'did you mean `matchLabels`?',
  ],
  [
    cnp({ endpointSelector: { matchLabels: { a: 1 } }, ingress: [{}] }),
    '/spec/endpointSelector/matchLabels/a',
    'must be a string, not a number',
  ],
  [
    cnp({ endpointSelector: { matchLabels: { 'a b': 'c' } }, ingress: [{}] }),
    '/spec/endpointSelector/matchLabels/a b',
    'label key',
  ],
  [
    cnp({ endpointSelector: { matchLabels: { 'x/a/b': 'c' } }, ingress: [{}] }),
    '/spec/endpointSelector/matchLabels/x~1a~1b',
    'label key',
  ],
  [
    cnp({ endpointSelector: { matchLabels: { ':a': 'c' } }, ingress: [{}] }),
    '/spec/endpointSelector/matchLabels/:a',
    'the source before ":" is empty',
  ],
  [
    cnp({ endpointSelector: { matchLabels: { a: 'b c' } }, ingress: [{}] }),
    '/spec/endpointSelector/matchLabels/a',
    'label value',
  ],
  [
    cnp({ endpointSelector: { matchExpressions: [{ key: 'a', operator: 'in', values: ['b'] }] }, ingress: [{}] }),
    '/spec/endpointSelector/matchExpressions/0/operator',
    'unknown operator',
  ],
  [
    cnp({ endpointSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] }, ingress: [{}] }),
    '/spec/endpointSelector/matchExpressions/0/values',
    'In needs at least one value',
  ],
  [
    cnp({ endpointSelector: { matchExpressions: [{ key: 'a', operator: 'NotIn', values: [] }] }, ingress: [{}] }),
    '/spec/endpointSelector/matchExpressions/0/values',
    'NotIn needs at least one value',
  ],
  [
    cnp({ endpointSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }, ingress: [{}] }),
    '/spec/endpointSelector/matchExpressions/0/values',
    'Exists takes no values',
  ],
  [
    cnp({ endpointSelector: { matchExpressions: [{ operator: 'Exists' }] }, ingress: [{}] }),
    '/spec/endpointSelector/matchExpressions/0/key',
    'key is required',
  ],
  [
    ingress({ fromEndpoint: [{}] }),
    '/spec/ingress/0/fromEndpoint',
    'unknown field `fromEndpoint`, did you mean `fromEndpoints`?',
  ],
  [ingress({ toEndpoints: [{}] }), '/spec/ingress/0/toEndpoints', 'did you mean `fromEndpoints`?'],
  [
    ingress({ fromEndpoints: [{}], fromEntities: ['world'] }),
    '/spec/ingress/0',
    'fromEndpoints and fromEntities cannot be combined',
  ],
  [
    egress({ toCIDR: ['10.0.0.0/8'], toCIDRSet: [{ cidr: '10.0.0.0/8' }] }),
    '/spec/egress/0',
    'toCIDR and toCIDRSet cannot be combined',
  ],
  [ingress({ fromEntities: ['mars'] }), '/spec/ingress/0/fromEntities/0', 'unknown entity'],
  [ingress({ fromEntities: ['cluster-mesh'] }), '/spec/ingress/0/fromEntities/0', 'since 1.20'],
  [ingress({ fromEntities: 'world' }), '/spec/ingress/0/fromEntities', 'must be a list, not a string'],
  [ingress({ fromCIDR: ['hello'] }), '/spec/ingress/0/fromCIDR/0', 'must be an address or address/length'],
  [ingress({ fromCIDR: ['10.0.0.0/33'] }), '/spec/ingress/0/fromCIDR/0', 'must be an address or address/length'],
  [ingress({ fromCIDR: [10] }), '/spec/ingress/0/fromCIDR/0', 'must be a string, not a number'],
  [ingress({ fromCIDRSet: [{ cidr: '10.0.0.1' }] }), '/spec/ingress/0/fromCIDRSet/0/cidr', 'must be address/length'],
  [
    ingress({ fromCIDRSet: [{ except: [] }] }),
    '/spec/ingress/0/fromCIDRSet/0/cidr',
    'one of cidr, cidrGroupRef, cidrGroupSelector is required',
  ],
  [
    ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }] }),
    '/spec/ingress/0/fromCIDRSet/0/except/0',
    'must lie within 10.0.0.0/8',
  ],
  [
    ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['::/96'] }] }),
    '/spec/ingress/0/fromCIDRSet/0/except/0',
    'must lie within 10.0.0.0/8',
  ],
  [port({}), '/spec/ingress/0/toPorts/0/ports/0/port', 'port is required'],
  [port({ port: '65536' }), '/spec/ingress/0/toPorts/0/ports/0/port', 'must be a port, 0 to 65535, or a port name'],
  [port({ port: -1 }), '/spec/ingress/0/toPorts/0/ports/0/port', 'must be a port'],
  [port({ port: 80.5 }), '/spec/ingress/0/toPorts/0/ports/0/port', 'must be a port'],
  [port({ port: '089' }), '/spec/ingress/0/toPorts/0/ports/0/port', 'must be a port'],
  [port({ port: 'a--b' }), '/spec/ingress/0/toPorts/0/ports/0/port', 'must be a port'],
  [port({ port: 'name-that-is-too-long' }), '/spec/ingress/0/toPorts/0/ports/0/port', 'must be a port'],
  [
    port({ port: true }),
    '/spec/ingress/0/toPorts/0/ports/0/port',
    'must be a port, 0 to 65535, or a port name, not a boolean',
  ],
  [port({ port: '80', protocol: 'FOO' }), '/spec/ingress/0/toPorts/0/ports/0/protocol', 'unknown protocol'],
  [port({ port: '80', endPort: 65536 }), '/spec/ingress/0/toPorts/0/ports/0/endPort', 'must be a port'],
  [port({ port: '80', portEnd: 81 }), '/spec/ingress/0/toPorts/0/ports/0/portEnd', 'unknown field `portEnd`'],
  [
    ingress({ toPorts: [{ ports: Array.from({ length: 41 }, (_, i) => ({ port: i + 1 })) }] }),
    '/spec/ingress/0/toPorts/0/ports',
    'at most 40 ports',
  ],
  [ingress({ toPorts: [{ port: [] }] }), '/spec/ingress/0/toPorts/0/port', 'did you mean `ports`?'],
  [
    ingress({ toPorts: [{ ports: [{ port: 80 }], rules: { htpp: [] } }] }),
    '/spec/ingress/0/toPorts/0/rules/htpp',
    'did you mean `http`?',
  ],
  [
    cnp({ endpointSelector: {}, nodeSelector: {}, ingress: [{}] }),
    '/spec',
    'endpointSelector and nodeSelector cannot be combined',
  ],
  [netpol({ podSelector: {}, policyTypes: ['ingress'] }), '/spec/policyTypes/0', 'unknown policy type'],
  [netpol({ podSelector: {}, ingress: [{ to: [] }] }), '/spec/ingress/0/to', '`to` is only allowed in egress'],
  [
    netpol({ podSelector: {}, ingress: [{ from: [{}] }] }),
    '/spec/ingress/0/from/0',
    'a peer needs podSelector, namespaceSelector or ipBlock',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] }),
    '/spec/ingress/0/from/0',
    'ipBlock cannot be combined',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.1' } }] }] }),
    '/spec/ingress/0/from/0/ipBlock/cidr',
    'must be address/length',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }] }),
    '/spec/ingress/0/from/0/ipBlock/except/0',
    'must lie within',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ port: 80, protocol: 'ANY' }] }] }),
    '/spec/ingress/0/ports/0/protocol',
    'unknown protocol',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ port: 80, protocol: 'tcp' }] }] }),
    '/spec/ingress/0/ports/0/protocol',
    'unknown protocol',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ endPort: 80 }] }] }),
    '/spec/ingress/0/ports/0/endPort',
    'endPort needs a port',
  ],
  [netpol({ endpointSelector: {} }), '/spec/endpointSelector', 'unknown field `endpointSelector`'],
  [{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' } }, '/spec', 'spec is required'],
];

const httpOn = (ports: unknown[], rules: object = { http: [{}] }) => ingress({ toPorts: [{ ports, rules }] });
const dnsOn = (ports: unknown[], names: unknown[] = [{ matchPattern: '*' }]) =>
  egress({ toPorts: [{ ports, rules: { dns: names } }] });
const http = (rule: unknown) => httpOn([{ port: '80', protocol: 'TCP' }], { http: [rule] });
const kafka = (rule: unknown) => httpOn([{ port: '9092', protocol: 'TCP' }], { kafka: [rule] });
const icmps = (...fields: unknown[]) => ingress({ icmps: [{ fields }] });
const group = (spec: unknown, metadata: object = { name: 'g' }) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata,
  spec,
});

/** Also malformed: what Cilium checks of fields that are then refused, or that hosts alone have. */
const MALFORMED_ELSEWHERE: readonly Row[] = [
  [cnp({ nodeSelector: {}, ingress: [{}] }), '/spec/nodeSelector', 'only a CiliumClusterwideNetworkPolicy'],
  [ccnp({ ingress: [{}] }), '/spec/endpointSelector', 'endpointSelector is required'],
  [
    ccnp({ nodeSelector: { matchExpressions: [{ key: 'a', operator: 'Equals' }] }, ingress: [{}] }),
    '/spec/nodeSelector/matchExpressions/0/operator',
    'unknown operator',
  ],
  [
    ccnp({
      nodeSelector: {},
      egress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{}] } }] }],
    }),
    '/spec/egress/0/toPorts/0/rules',
    'a host policy knows no such rules on egress',
  ],
  [cnp({ endpointSelector: {}, ingress: [{}], log: { value: 'x'.repeat(33) } }), '/spec/log/value', 'at most 32'],
  [cnp({ endpointSelector: {}, ingress: [{}], log: { text: 'x' } }), '/spec/log/text', 'unknown field'],
  [ingress({ authentication: { mode: 'maybe' } }), '/spec/ingress/0/authentication/mode', 'unknown mode'],
  [
    ingress({ fromEndpoints: [{ matchLabels: { [`a${'b'.repeat(60)}`]: '' } }] }),
    `/spec/ingress/0/fromEndpoints/0/matchLabels/a${'b'.repeat(60)}`,
    'too long',
  ],
  [
    ingress({ fromNodes: [{}], fromEntities: ['world'] }),
    '/spec/ingress/0',
    'fromEntities and fromNodes cannot be combined',
  ],
  [
    egress({ toEndpoints: [{}], toFQDNs: [{ matchName: 'a.b' }] }),
    '/spec/egress/0',
    'toEndpoints and toFQDNs cannot be combined',
  ],
  [
    egress({ toServices: [{ k8sService: {} }], toGroups: [{}] }),
    '/spec/egress/0',
    'toGroups and toServices cannot be combined',
  ],
  [
    egress({ toServices: [{ k8sService: { name: 'x' } }] }),
    '/spec/egress/0/toServices/0/k8sService/name',
    'unknown field',
  ],
  [
    egress({ toServices: [{ k8sServiceSelector: {} }] }),
    '/spec/egress/0/toServices/0/k8sServiceSelector/selector',
    'selector is required',
  ],
  [egress({ toFQDNs: [{ matchName: 'a b' }] }), '/spec/egress/0/toFQDNs/0/matchName', 'only letters'],
  [egress({ toFQDNs: [{ matchName: '*.b' }] }), '/spec/egress/0/toFQDNs/0/matchName', 'only letters'],
  [
    egress({ toFQDNs: [{ matchPattern: 'a'.repeat(256) }] }),
    '/spec/egress/0/toFQDNs/0/matchPattern',
    'longer than 255',
  ],
  [egress({ toFQDNs: [{ matchName: 'a', matchPattern: 'b' }] }), '/spec/egress/0/toFQDNs/0', 'cannot be combined'],
  [
    ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', cidrGroupRef: 'x' }] }),
    '/spec/ingress/0/fromCIDRSet/0',
    'cidr and cidrGroupRef cannot be combined',
  ],
  [
    ingress({ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { 'a b': 'c' } } }] }),
    '/spec/ingress/0/fromCIDRSet/0/cidrGroupSelector/matchLabels/a b',
    'label key',
  ],
  [
    ingress({ icmps: [{ fields: [{ type: 8 }] }], toPorts: [{ ports: [{ port: '80' }] }] }),
    '/spec/ingress/0',
    'toPorts and icmps cannot be combined',
  ],
  [icmps({ type: 256 }), '/spec/ingress/0/icmps/0/fields/0/type', 'unknown type of IPv4'],
  [icmps({ type: 'PacketTooBig' }), '/spec/ingress/0/icmps/0/fields/0/type', 'unknown type of IPv4'],
  [icmps({ type: 'Echo', family: 'IPv6' }), '/spec/ingress/0/icmps/0/fields/0/type', 'unknown type of IPv6'],
  [icmps({ type: 8, family: 'ipv4' }), '/spec/ingress/0/icmps/0/fields/0/family', 'unknown family'],
  [icmps({ family: 'IPv4' }), '/spec/ingress/0/icmps/0/fields/0/type', 'type is required'],
  [
    icmps(...Array.from({ length: 41 }, (_, type) => ({ type }))),
    '/spec/ingress/0/icmps/0/fields',
    'at most 40 fields',
  ],
  [port({ protocol: 'ICMP', port: '8' }), '/spec/ingress/0/toPorts/0/ports/0/protocol', 'ICMP is named by `icmps`'],
  [port({ protocol: 'VRRP', port: '80' }), '/spec/ingress/0/toPorts/0/ports/0/port', 'VRRP has no ports'],
  [httpOn([{ port: '80', protocol: 'UDP' }]), '/spec/ingress/0/toPorts/0/rules', 'TCP only'],
  [httpOn([{ port: '80' }]), '/spec/ingress/0/toPorts/0/rules', 'TCP only'],
  [httpOn([{ port: '0', protocol: 'TCP' }]), '/spec/ingress/0/toPorts/0/rules', 'port 0'],
  [
    httpOn([{ port: '80', protocol: 'TCP' }], { http: [{}], kafka: [] }),
    '/spec/ingress/0/toPorts/0/rules',
    'http and kafka cannot be combined',
  ],
  [httpOn([{ port: '80', protocol: 'TCP' }], { l7: [{}] }), '/spec/ingress/0/toPorts/0/rules/l7', 'l7 needs l7proto'],
  [
    httpOn([{ port: '80', protocol: 'TCP' }], { l7proto: 'x', l7: [{ '': 'y' }] }),
    '/spec/ingress/0/toPorts/0/rules/l7/0',
    'a key must not be empty',
  ],
  [http({ path: '*' }), '/spec/ingress/0/toPorts/0/rules/http/0/path', 'not a regular expression'],
  [http({ method: '(GET' }), '/spec/ingress/0/toPorts/0/rules/http/0/method', 'missing closing )'],
  [http({ headerMatches: [{}] }), '/spec/ingress/0/toPorts/0/rules/http/0/headerMatches/0/name', 'name is required'],
  [
    http({ headerMatches: [{ name: 'a', mismatch: 'DROP' }] }),
    '/spec/ingress/0/toPorts/0/rules/http/0/headerMatches/0/mismatch',
    'unknown action',
  ],
  [
    http({ headerMatches: [{ name: 'a', secret: { namespace: 'x' } }] }),
    '/spec/ingress/0/toPorts/0/rules/http/0/headerMatches/0/secret/name',
    'name is required',
  ],
  [kafka({ role: 'produce', apiKey: 'fetch' }), '/spec/ingress/0/toPorts/0/rules/kafka/0', 'cannot be combined'],
  [kafka({ apiKey: 'x' }), '/spec/ingress/0/toPorts/0/rules/kafka/0/apiKey', 'unknown api key'],
  [kafka({ apiVersion: '-1' }), '/spec/ingress/0/toPorts/0/rules/kafka/0/apiVersion', 'must be a number'],
  [kafka({ topic: 'x'.repeat(256) }), '/spec/ingress/0/toPorts/0/rules/kafka/0/topic', 'longer than 255'],
  [dnsOn([]), '/spec/egress/0/toPorts/0/rules/dns', 'DNS rules need a port'],
  [dnsOn([{ port: '53', endPort: 54, protocol: 'UDP' }]), '/spec/egress/0/toPorts/0/rules', 'no port ranges'],
  [dnsOn([{ port: '53' }], [{ matchName: 'a b' }]), '/spec/egress/0/toPorts/0/rules/dns/0/matchName', 'only letters'],
  [ingress({ toPorts: [{ serverNames: [''] }] }), '/spec/ingress/0/toPorts/0/serverNames/0', 'must not be empty'],
  [
    ingress({ toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }], serverNames: ['a.b'], rules: { http: [{}] } }] }),
    '/spec/ingress/0/toPorts/0/serverNames',
    'only be combined with terminatingTLS',
  ],
  [
    ingress({ toPorts: [{ listener: { name: 'x', envoyConfig: { name: 'y' } } }] }),
    '/spec/ingress/0/toPorts/0/listener',
    'not allowed on ingress',
  ],
  [
    egress({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], listener: { name: 'x' }, rules: { http: [{}] } }] }),
    '/spec/egress/0/toPorts/0/listener',
    'listener and rules cannot be combined',
  ],
  [group(undefined), '/spec', 'spec is required'],
  [group({}), '/spec/externalCIDRs', 'externalCIDRs is required'],
  [group({ externalCIDRs: ['10.0.0.0/40'] }), '/spec/externalCIDRs/0', 'must be an address or address/length'],
  [group({ externalCIDRs: [] }, { name: 'g', namespace: 'x' }), '/metadata/namespace', 'has no namespace'],
  [netpol({ podSelector: { matchLabels: { 'k8s:a': 'b' } } }), '/spec/podSelector/matchLabels/k8s:a', 'label key'],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: 79 }] }] }),
    '/spec/ingress/0/ports/0/endPort',
    'endPort is below port 80',
  ],
  [
    netpol({ podSelector: {}, ingress: [{ ports: [{ port: 'http', endPort: 79 }] }] }),
    '/spec/ingress/0/ports/0/endPort',
    'endPort needs a port number, not a name',
  ],
];

const tcp = [{ port: '80', protocol: 'TCP' }];

/** Refused with 422: Cilium 1.19 has it, this version has not. */
const NOT_SUPPORTED: readonly Row[] = [
  [
    cnp({ endpointSelector: {}, ingressDeny: [{ toPorts: [{ rules: {} }] }] }),
    '/spec/ingressDeny/0/toPorts/0/rules',
    'rules is not supported: Cilium ignores it in a deny rule',
  ],
  [
    cnp({ endpointSelector: {}, egressDeny: [{ toFQDNs: [] }] }),
    '/spec/egressDeny/0/toFQDNs',
    'toFQDNs is not supported: Cilium ignores it in a deny rule',
  ],
  [ingress({ fromNodes: [{}] }), '/spec/ingress/0/fromNodes', 'fromNodes is not supported yet'],
  [egress({ toNodes: [{}] }), '/spec/egress/0/toNodes', 'toNodes is not supported yet'],
  [ingress({ fromGroups: [{ aws: {} }] }), '/spec/ingress/0/fromGroups', 'no cloud is asked'],
  [egress({ toGroups: [{}] }), '/spec/egress/0/toGroups', 'toGroups is not supported yet'],
  [egress({ toServices: [{}] }), '/spec/egress/0/toServices', 'toServices is not supported yet'],
  [egress({ toFQDNs: [{}] }), '/spec/egress/0/toFQDNs', 'addresses of names are not learned'],
  [ingress({ authentication: { mode: 'required' } }), '/spec/ingress/0/authentication', 'do not authenticate'],
  [ingress({ auth: { type: 'null' } }), '/spec/ingress/0/auth', 'it is called `authentication`'],
  ...['terminatingTLS', 'originatingTLS'].map(
    (name): Row => [
      ingress({ toPorts: [{ ports: tcp, [name]: { secret: { name: 'x' } } }] }),
      `/spec/ingress/0/toPorts/0/${name}`,
      `${name} is not supported yet: there is no proxy`,
    ],
  ),
  [
    ingress({ toPorts: [{ ports: tcp, serverNames: ['a.b'] }] }),
    '/spec/ingress/0/toPorts/0/serverNames',
    'serverNames is not supported yet',
  ],
  [
    egress({ toPorts: [{ ports: tcp, listener: { name: 'x', envoyConfig: { name: 'y' } } }] }),
    '/spec/egress/0/toPorts/0/listener',
    'listener is not supported yet',
  ],
  [http({ path: '/[a-z]+(x|y)*' }), '/spec/ingress/0/toPorts/0/rules/http', 'rules.http is not supported yet'],
  [kafka({ role: 'Produce' }), '/spec/ingress/0/toPorts/0/rules/kafka', 'rules.kafka is not supported yet'],
  [dnsOn([{ port: '53', protocol: 'ANY' }]), '/spec/egress/0/toPorts/0/rules/dns', 'rules.dns is not supported yet'],
  [
    httpOn([{ port: '80', protocol: 'TCP' }], { l7proto: 'x' }),
    '/spec/ingress/0/toPorts/0/rules/l7proto',
    'rules.l7proto is not supported yet',
  ],
  [
    cnp({ endpointSelector: {}, ingressDeny: [{ toPorts: [{ rules: {} }] }] }),
    '/spec/ingressDeny/0/toPorts/0/rules',
    'rules is not supported: Cilium ignores it in a deny rule',
  ],
  [
    cnp({ endpointSelector: {}, egressDeny: [{ toFQDNs: [] }] }),
    '/spec/egressDeny/0/toFQDNs',
    'toFQDNs is not supported: Cilium ignores it in a deny rule',
  ],
  [
    ingress({ fromRequires: [{}] }),
    '/spec/ingress/0/fromRequires',
    'fromRequires is not supported: Cilium removed it in 1.19',
  ],
  [egress({ toRequires: [{}] }), '/spec/egress/0/toRequires', 'toRequires is not supported: Cilium removed it in 1.19'],
  [
    cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'a', annotations: { 'postern.dev/denial': 'refused' } }),
    '/metadata/annotations/postern.dev~1denial',
    'annotation postern.dev/denial is not supported yet',
  ],
  [
    cnp({ endpointSelector: {}, ingress: [{}] }, { generateName: 'a', name: 'b' }),
    '/metadata/generateName',
    'generateName is not supported yet',
  ],
];

for (const [rows, status] of [
  [MALFORMED, 400],
  [MALFORMED_ELSEWHERE, 400],
  [NOT_SUPPORTED, 422],
] as const) {
  for (const [document, path, message] of rows) {
    test(`${status} at "${path}": ${message}`, () => {
      const parsed = parsePolicy(document);
      assert.ok(!parsed.ok, 'accepted');
      const at = parsed.errors.filter((error) => error.path === path);
      assert.ok(
        at.some((error) => error.message.includes(message)),
        JSON.stringify(parsed.errors),
      );
      assert.is(parsed.status, status, JSON.stringify(parsed.errors));
    });
  }
}

test('an error carries the value and what is allowed', () => {
  const parsed = parsePolicy(ingress({ fromEntities: ['mars'] }));
  assert.ok(!parsed.ok);
  assert.is(parsed.errors[0]!.value, 'mars');
  assert.ok(parsed.errors[0]!.allowed!.includes('world'));
});

test('all errors are reported at once', () => {
  const parsed = parsePolicy(
    cnp({
      endpointSelector: {},
      ingress: [{ fromEntities: ['mars', 'venus'], toPorts: [{ ports: [{ port: 'x y' }] }] }],
    }),
  );
  assert.ok(!parsed.ok);
  assert.is(parsed.errors.length, 3);
});

test('names of JavaScript objects are unknown fields like any other', () => {
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    const parsed = parsePolicy(
      JSON.parse(
        `{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":"p"},"spec":{"endpointSelector":{},"ingress":[{}],"${name}":{}}}`,
      ),
    );
    assert.ok(!parsed.ok, name);
    assert.is(parsed.errors[0]!.path, `/spec/${name}`);
  }
});

test('one mistake is told once', () => {
  const meta = (annotations: object) => cnp({ endpointSelector: {}, ingress: [{}] }, { name: 'a', annotations });
  for (const [document, path] of [
    [cnp({ endpointSelector: {}, ingres: [{}] }), '/spec/ingres'],
    [cnp({ endpointSelector: {}, ingress: 5 }), '/spec/ingress'],
    [meta({ 'postern.dev/owner': 5 }), '/metadata/annotations/postern.dev~1owner'],
  ] as const) {
    const result = parsePolicy(document);
    assert.equal(result.ok ? [] : result.errors.map((error) => error.path), [path]);
  }
  const both = parsePolicy(cnp({ endpointSelector: {}, description: 5 }));
  assert.equal(both.ok ? [] : both.errors.map((error) => error.path), ['/spec/description', '/spec']);
});

test('an annotation of ours that is not known says which are, and which may be meant', () => {
  const spec = { endpointSelector: {}, ingress: [{}] };
  const result = parsePolicy(cnp(spec, { name: 'a', annotations: { 'postern.dev/moed': 'audit' } }));
  const [error] = result.ok ? [] : result.errors;
  assert.is(error?.message, 'annotation postern.dev/moed is not supported yet; did you mean postern.dev/mode?');
  assert.ok(error?.allowed?.includes('postern.dev/expires'));
});

test('fromNodes and toNodes say what is missing', () => {
  const result = parsePolicy(ingress({ fromNodes: [{}] }));
  assert.match(
    result.ok ? '' : result.errors[0]!.message,
    'fromNodes is not supported yet: other hosts have no identity',
  );
});

test.run();
