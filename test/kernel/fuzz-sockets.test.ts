// @timeout 300
/**
 * Random sequences of socket calls against a denied and an allowed peer, judged at the peers. The seed is printed;
 * POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer (a night: 28800).
 */
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type FuzzResult, fuzz } from './fuzz-lab.ts';
import { openLab } from './lab.ts';

const test = suite('fuzz: socket calls');
const seconds = Number(process.env.POSTERN_FUZZ_SECONDS ?? 60);
const seed = Number(process.env.POSTERN_FUZZ_SEED ?? Date.now() % 1_000_000_000);

test(`no sequence of socket calls reaches a denied peer or hears it (seed ${seed}, ${seconds} s)`, async () => {
  const result = await fuzzed(seed, seconds, []);
  console.log(`seed ${seed}: ${JSON.stringify(result)}`);
  assert.equal(result.violations, []);
  assert.ok(result.operations > 0);
  for (const seen of ['toFriend', 'toAllowed', 'heard'] as const) assert.ok(result[seen] > 0, seen);
});

for (const off of [['on_egress', 'on_ingress'], ['on_connect4', 'on_connect6'], ['on_ingress']] as const)
  test(`the fuzzer finds the hole that is there without ${off.join(' and ')}`, async () => {
    const result = await fuzzed(1, 60, off);
    console.log(`without ${off}: ${result.violations.length} violations, first: ${result.violations[0]}`);
    assert.ok(result.violations.length > 0);
  });

async function fuzzed(from: number, limit: number, off: readonly string[]): Promise<FuzzResult> {
  const lab = await openLab();
  try {
    for (const name of off) unlinkSync(join(lab.pinDir, 'links', name));
    return await fuzz(lab, from, performance.now() + limit * 1000);
  } finally {
    await lab.destroy();
  }
}

test.run();
