import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runCase } from '../../src/core/policy-case-run.ts';
import { openPolicyEngine } from '../../src/datapath/policy-engine.ts';
import { type Case, readTable } from '../core/conformance-case.ts';

const test = suite('policy test by the kernel');
const OBJECT = join(import.meta.dirname, '../../build/postern.bpf.o');
const pins = () => readdirSync('/sys/fs/bpf').filter((name) => name.startsWith('postern-policy-test-'));

test('every row of the conformance tables holds in the kernel, and nothing is left', () => {
  const opened = openPolicyEngine(OBJECT);
  let passed = 0;
  try {
    for (const table of ['cilium-l3l4', 'k8s-networkpolicy'])
      for (const row of readTable<Case>(table)) {
        const result = runCase(row, opened.engine);
        if (result.result !== 'judged') continue;
        const failed = result.probes.find((probe) => !probe.passed);
        if (failed !== undefined) assert.unreachable(`${row.name}: ${JSON.stringify(failed)}`);
        passed += result.probes.length;
      }
  } finally {
    opened.close();
  }
  assert.is(passed, 2875 + 97342);
  assert.equal(pins(), []);
});

test('an object that does not load leaves no pins', () => {
  assert.throws(() => openPolicyEngine('/nowhere/postern.bpf.o'));
  assert.equal(pins(), []);
  assert.ok(existsSync('/sys/fs/bpf'));
});

test.run();
