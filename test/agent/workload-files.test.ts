/** Files that register workloads: read, kept while they are bad, named by the control plane, merged under it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EMPTY_STATE } from '../../src/agent/desired-state.ts';
import { readWorkloadFile } from '../../src/agent/workload-file.ts';
import { WorkloadFiles } from '../../src/agent/workload-files.ts';
import type { HostIdentities, HostWorkload } from '../../src/api/host-workload.ts';

const test = suite('files of workloads');
let folder: string;
let dir: string;
let logged: string[];
/** What the control plane does with a PUT; undefined = it is away. */
let controlPlane: ((workloads: readonly HostWorkload[]) => HostIdentities) | undefined;
let asked: number;
let changes: number;
const opened: WorkloadFiles[] = [];

const doc = (name: string, spec: unknown) =>
  `${JSON.stringify({ apiVersion: 'postern.dev/v1', kind: 'Workload', metadata: { namespace: 'erp', name }, spec })}\n`;
const unit = (name: string, app = name) => doc(name, { labels: { app }, match: { systemdUnit: `${name}.service` } });
const put = (file: string, text: string) => writeFileSync(join(dir, file), text);

/** Gives each set of labels a number. */
function namesAll(workloads: readonly HostWorkload[]): HostIdentities {
  const items = workloads.map(({ namespace, name, labels }) => ({
    namespace,
    name,
    identity: 70_000 + JSON.stringify(labels).length,
    createdRevision: 7,
  }));
  return { revision: 7, items, identities: items.map(({ identity }) => ({ id: identity, labels: [`n=${identity}`] })) };
}

function open(): WorkloadFiles {
  const files = new WorkloadFiles({
    dir,
    stateDir: join(folder, 'state'),
    send: async (workloads) => {
      asked++;
      if (controlPlane === undefined) throw new Error('connect ENOENT');
      return controlPlane(workloads);
    },
    onChange: () => {
      changes++;
    },
    log: (message) => logged.push(message),
  });
  opened.push(files);
  return files;
}

const refs = (files: WorkloadFiles) => [...files.mergedInto(EMPTY_STATE).workloads.keys()].sort();
const unitOf = (files: WorkloadFiles, ref: string) =>
  files.mergedInto(EMPTY_STATE).workloads.get(ref)?.match[0] as { systemdUnit?: string } | undefined;

async function look(files: WorkloadFiles): Promise<void> {
  files.look();
  await new Promise((resolve) => setImmediate(resolve));
}

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-files-'));
  dir = join(folder, 'workloads.d');
  mkdirSync(dir);
  logged = [];
  asked = 0;
  changes = 0;
  controlPlane = namesAll;
});
test.after.each(async () => {
  await Promise.all(opened.splice(0).map((files) => files.flush()));
  rmSync(folder, { recursive: true });
});

test('a mistake is named by line, field and value', () => {
  const text = [
    'apiVersion: postern.dev/v1',
    'kind: Workload',
    'metadata: {namespace: erp, name: billing}',
    'spec:',
    '  labels: {app: billing}',
    '  match: {process: {exe: nginx}}',
  ].join('\n');
  assert.equal(readWorkloadFile('a.yaml', text), {
    ok: false,
    problems: ['line 6:26 /spec/match/process/exe "nginx": must be an absolute path'],
  });
  assert.match(
    (readWorkloadFile('a.yaml', 'kind: Policy\n') as { problems: readonly string[] }).problems.join('\n'),
    /line 1:7 \/kind "Policy": must be one of Workload/,
  );
  assert.match((readWorkloadFile('a.yaml', 'a: [\n') as { problems: readonly string[] }).problems[0]!, /^line \d/);
  const peer = readWorkloadFile('a.json', doc('peer', { labels: { app: 'peer' }, addresses: ['192.0.2.1'] }));
  assert.match((peer as { problems: readonly string[] }).problems[0]!, /\/spec\/addresses: is the same for every host/);
});

test('what is in the files is registered, changed and taken away with them', async () => {
  const files = open();
  put('10-erp.yaml', `${unit('billing')}---\n${unit('batch')}`);
  put('notes.txt', 'no registration');
  put('.hidden.yaml', 'nor this: [');
  await look(files);
  assert.equal(refs(files), ['erp/batch', 'erp/billing']);
  put('10-erp.yaml', doc('billing', { labels: { app: 'billing' }, match: { systemdUnit: 'billing@*.service' } }));
  await look(files);
  assert.equal([refs(files), unitOf(files, 'erp/billing')?.systemdUnit], [['erp/billing'], 'billing@*.service']);
  rmSync(join(dir, '10-erp.yaml'));
  await look(files);
  assert.equal([refs(files), logged], [[], []]);
});

test('a bad file keeps what it said last, also over a restart; the others go on', async () => {
  const files = open();
  put('a.yaml', unit('billing'));
  await look(files);
  put('a.yaml', unit('billing').replace('systemdUnit', 'sytemdUnit'));
  put('b.yaml', unit('batch'));
  await look(files);
  assert.equal(refs(files), ['erp/batch', 'erp/billing']);
  const [bad, good] = files.report(EMPTY_STATE);
  assert.match(
    bad!.problems.join(),
    /\/spec\/match\/sytemdUnit: unknown field "sytemdUnit", did you mean "systemdUnit"/,
  );
  assert.equal([bad!.workloads, good!.problems, good!.waiting], [['erp/billing'], [], []]);
  await files.flush();
  const again = open();
  again.look();
  assert.equal([refs(again), again.report(EMPTY_STATE)[0]!.problems.length], [['erp/batch', 'erp/billing'], 1]);
  assert.is(logged.length, 1);
});

test('while the control plane is away, what has its identity follows the file, what needs one waits', async () => {
  const files = open();
  put('a.yaml', unit('billing'));
  await look(files);
  const { identity } = files.mergedInto(EMPTY_STATE).workloads.get('erp/billing')!;
  controlPlane = undefined;
  put('a.yaml', doc('billing', { labels: { app: 'billing' }, match: { systemdUnit: 'moved.service' } }));
  put('b.yaml', unit('batch'));
  await look(files);
  const billing = files.mergedInto(EMPTY_STATE).workloads.get('erp/billing')!;
  assert.equal([billing.identity, unitOf(files, 'erp/billing')?.systemdUnit], [identity, 'moved.service']);
  assert.equal(
    files.report(EMPTY_STATE).map(({ waiting }) => waiting),
    [[], ['erp/batch']],
  );
  put('a.yaml', doc('billing', { labels: { app: 'other-labels' }, match: { systemdUnit: 'moved.service' } }));
  await look(files);
  assert.equal(files.mergedInto(EMPTY_STATE).workloads.get('erp/billing')!.labels, { app: 'billing' });
  controlPlane = namesAll;
  await look(files);
  assert.equal(refs(files), ['erp/batch', 'erp/billing']);
  assert.equal(files.mergedInto(EMPTY_STATE).workloads.get('erp/billing')!.labels, { app: 'other-labels' });
});

test('a name that the control plane has is the control plane’s; of two files the first has it', async () => {
  const files = open();
  put('a.yaml', unit('billing'));
  put('b.yaml', doc('billing', { labels: { app: 'b' }, match: { systemdUnit: 'b.service' } }));
  await look(files);
  assert.is(unitOf(files, 'erp/billing')?.systemdUnit, 'billing.service');
  const own = {
    namespace: 'erp',
    name: 'billing',
    labels: { app: 'x' },
    match: [],
    identity: 66_000,
    createdRevision: 1,
  };
  const state = { ...EMPTY_STATE, workloads: new Map([['erp/billing', own]]) };
  assert.is(files.mergedInto(state).workloads.get('erp/billing'), own);
  const [first, second] = files.report(state);
  assert.equal([first!.conflicts, first!.waiting], [['erp/billing'], []]);
  assert.match(second!.problems.join(), /erp\/billing is in .*a.yaml too, which comes first/);
});

test('the merged state is the same object as long as nothing changed, and the control plane is asked once', async () => {
  const files = open();
  put('a.yaml', unit('billing'));
  await look(files);
  const merged = files.mergedInto(EMPTY_STATE);
  await look(files);
  assert.ok(files.mergedInto(EMPTY_STATE) === merged);
  const later = files.mergedInto({ ...EMPTY_STATE, revision: 9 });
  assert.equal([later.revision, later.workloads === merged.workloads, asked], [9, true, 1]);
  files.sendAgain();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal([asked, changes], [2, 1]);
});

test.run();
