/** One Kafka rule, checked as Cilium 1.19 does (Cilium 1.20 knows none any more). */
import { checkTexts } from './policy-elsewhere.ts';
import { at, type FieldTable, type Report, readFields, refuse } from './policy-fields.ts';

const RULE: FieldTable = { known: ['role', 'apiKey', 'apiVersion', 'clientID', 'topic'] };
const ROLES = ['produce', 'consume'];
const MAX_TOPIC = 255;

/** Kafka's api keys 0 to 33. */
const API_KEYS = (
  'produce fetch offsets metadata leaderandisr stopreplica updatemetadata controlledshutdown offsetcommit offsetfetch ' +
  'findcoordinator joingroup heartbeat leavegroup syncgroup describegroups listgroups saslhandshake apiversions ' +
  'createtopics deletetopics deleterecords initproducerid offsetforleaderepoch addpartitionstotxn addoffsetstotxn ' +
  'endtxn writetxnmarkers txnoffsetcommit describeacls createacls deleteacls describeconfigs alterconfigs'
).split(' ');

export function checkKafkaRule(report: Report, path: string, value: unknown): undefined {
  const fields = readFields(report, path, value, RULE);
  if (!fields) return;
  checkTexts(report, path, fields, RULE.known);
  const { role, apiKey, apiVersion, topic } = fields;
  if (role && apiKey) refuse(report, path, 'role and apiKey cannot be combined');
  if (role && !ROLES.includes(String(role).toLowerCase()))
    refuse(report, at(path, 'role'), 'unknown role', role, ROLES);
  if (apiKey && !API_KEYS.includes(String(apiKey).toLowerCase())) {
    refuse(report, at(path, 'apiKey'), 'unknown api key', apiKey, API_KEYS);
  }
  if (apiVersion && !(/^\+?\d+$/.test(String(apiVersion)) && Number(apiVersion) <= 32767)) {
    refuse(report, at(path, 'apiVersion'), 'must be a number, 0 to 32767', apiVersion);
  }
  if (topic && !/^[a-zA-Z0-9\\._-]+$/.test(String(topic))) {
    refuse(report, at(path, 'topic'), 'only letters, digits, ".", "_" and "-" are allowed', topic);
  } else if (String(topic ?? '').length > MAX_TOPIC) {
    refuse(report, at(path, 'topic'), `longer than ${MAX_TOPIC} characters`, String(topic).length);
  }
}
