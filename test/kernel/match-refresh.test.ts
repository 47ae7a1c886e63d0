/** Files behind the patterns of registrations are looked at in the background, and nothing that changes meanwhile is passed by. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CgroupTree } from '../../src/agent/cgroup-tree.ts';
import { EMPTY_STATE, withDelta } from '../../src/agent/desired-state.ts';
import { Enforcement } from '../../src/agent/enforcement.ts';
import { Labels } from '../../src/agent/labels.ts';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { told } from '../e2e/wait.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

const test = suite('match refresh');
let own: OwnKernel;
let folder: string;
let labels: Labels;
let enforcement: Enforcement;

const place = (name: string): void => writeFileSync(join(folder, name), '', { mode: 0o755 });
const known = (): string[] =>
  labels.program.clauses.flatMap(({ exes = [] }) => exes).map((path) => path.slice(folder.length + 1));

test.before(
  told(async () => {
    own = openKernel();
    folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
    const users = createUserNames();
    labels = new Labels(own.kernel, new CgroupTree(own.mount), users, own.cgroupPath);
    const settings = {
      hostLabels: {},
      enablePolicy: 'default',
      cgroupMount: own.mount,
      cgroupRoot: own.cgroupDir,
    } as const;
    enforcement = new Enforcement(own.kernel, labels, new NetworkNamespaces(own.kernel), users, settings);
    const match = [{ process: { exe: `${folder}/app*` } }];
    const workload = { namespace: 'a', name: 'app', labels: {}, match, identity: 65792, createdRevision: 1 };
    enforcement.apply(
      withDelta(EMPTY_STATE, { type: 'delta', revision: 1, put: { workloads: [workload] }, delete: {} }),
    );
  }),
);
test.after(async () => {
  enforcement?.stop();
  await own?.destroy();
  rmSync(folder, { recursive: true, force: true });
});

test('a file that appears is known after a look', async () => {
  assert.equal(known(), []);
  place('app1');
  await enforcement.refreshMatches();
  assert.equal(known(), ['app1']);
});

test('one that appears while a look is under way is known after it, when somebody has asked', async () => {
  const look = enforcement.refreshMatches();
  place('app2');
  await Promise.all([look, enforcement.refreshMatches()]);
  assert.equal(known(), ['app1', 'app2']);
});

test('what could not be applied is tried again', async () => {
  place('app3');
  const { apply } = labels;
  labels.apply = () => {
    throw new Error('the tables are full');
  };
  try {
    const error = await enforcement.refreshMatches().catch((reason: Error) => reason);
    assert.match(String(error), /full/);
  } finally {
    labels.apply = apply;
  }
  assert.equal(known(), ['app1', 'app2']);
  await enforcement.refreshMatches();
  assert.equal(known(), ['app1', 'app2', 'app3']);
});

test('a look that the end interrupts changes nothing', async () => {
  const look = enforcement.refreshMatches();
  place('app4');
  const again = enforcement.refreshMatches();
  enforcement.stop();
  await Promise.all([look, again]);
  assert.equal(known(), ['app1', 'app2', 'app3']);
});

test.run();
