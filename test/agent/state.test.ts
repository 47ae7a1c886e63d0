/** What an agent wants and keeps: deltas, and the file that outlives it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fromSnapshot, toSnapshot, withDelta } from '../../src/agent/desired-state.ts';
import { readJson, writeFileAtomic } from '../../src/agent/state-file.ts';
import type { Snapshot } from '../../src/api/agent-stream.ts';
import { skip } from '../skip.ts';

const test = suite('agent state');
const workload = (name: string, identity: number) => ({
  namespace: 'shop',
  name,
  labels: { app: name },
  match: [{ systemdUnit: `${name}.service` }],
  identity,
  createdRevision: 1,
});
const SNAPSHOT: Snapshot = {
  type: 'snapshot',
  uid: 'u',
  revision: 3,
  clusterName: 'default',
  workloads: [workload('a', 65792), workload('b', 65793)],
  policies: [],
  namespaces: { shop: {} },
  identities: [{ id: 65792, labels: ['user:app=a'] }],
};

test('a snapshot comes back from its state unchanged', () => {
  assert.equal(toSnapshot(fromSnapshot(SNAPSHOT)), SNAPSHOT);
});

test('a delta deletes first and puts then, and leaves the state before as it was', () => {
  const before = fromSnapshot(SNAPSHOT);
  const after = withDelta(before, {
    type: 'delta',
    revision: 4,
    put: { workloads: [workload('a', 65800)] },
    delete: { workloads: ['shop/a', 'shop/b'] },
  });
  assert.equal([...after.workloads.keys()], ['shop/a']);
  assert.is(after.workloads.get('shop/a')!.identity, 65800);
  assert.is(after.revision, 4);
  assert.is(before.workloads.size, 2);
  assert.is(after.policies, before.policies, 'what did not change is the same object');
});

test('a state file is replaced whole, and a missing one is no error', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-state-'));
  try {
    assert.is(readJson(folder, 'state.json'), undefined);
    await writeFileAtomic(join(folder, 'state.json'), '{"a":1}');
    await writeFileAtomic(join(folder, 'state.json'), '{"a":2}');
    assert.equal(readJson(folder, 'state.json'), { a: 2 });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a damaged state file is named, not guessed at', () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-state-'));
  try {
    writeFileSync(join(folder, 'state.json'), '{"a":');
    assert.throws(() => readJson(folder, 'state.json'), /state\.json/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

if (process.getuid?.() === 0)
  test('a full disk leaves the old state file as it was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-state-'));
    assert.is(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]).status, 0);
    try {
      const path = join(folder, 'state.json');
      await writeFileAtomic(path, '{"a":1}');
      const refused = await writeFileAtomic(path, JSON.stringify('x'.repeat(1 << 20))).catch((error) => error);
      assert.is(refused?.code, 'ENOSPC');
      assert.is(readFileSync(path, 'utf8'), '{"a":1}');
    } finally {
      spawnSync('umount', [folder]);
      rmSync(folder, { recursive: true });
    }
  });
else skip(test, 'a full disk leaves the old state file as it was', 'root: mounts a small tmpfs');

test.run();
