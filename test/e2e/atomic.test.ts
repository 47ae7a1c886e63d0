// @timeout 300
/**
 * Every verdict is wholly of one revision and carries its number: random policy changes through the real server and agent,
 * under traffic that never stops, held against the oracle by atomic-check.ts. POSTERN_ATOMIC_CHANGES and POSTERN_SEED.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Flow } from '../../src/api/flow.ts';
import { checkRecording, type Recording, timeUs } from './atomic-check.ts';
import { type AtomicLab, FAR, HOME, NEAR, openAtomicLab } from './atomic-lab.ts';
import { record } from './atomic-record.ts';
import { app, cnp, only, port } from './policies.ts';
import { told } from './wait.ts';

const test = suite('atomicity');
const CHANGES = Number(process.env.POSTERN_ATOMIC_CHANGES ?? 1000);
const SEED = Number(process.env.POSTERN_SEED ?? Math.floor(Math.random() * 2 ** 31));
const PERIOD_US = Number(process.env.POSTERN_ATOMIC_PERIOD_US ?? 25_000);
let lab: AtomicLab;
let recording: Recording;

test.before(
  told(async () => {
    lab = await openAtomicLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

test(`under traffic, each verdict of ${CHANGES} policy changes is of one of two neighbouring revisions, and names it`, async () => {
  console.log(`seed ${SEED}`);
  const before = await counters();
  recording = await record(lab, { changes: CHANGES, seed: SEED, periodUs: PERIOD_US });
  const { wrong, attempts, flows, contested } = checkRecording(recording);
  const after = await counters();
  console.log(JSON.stringify({ attempts, flows, contested }));
  assert.is(after.eventLost, before.eventLost);
  assert.is(after.mapMiss, before.mapMiss, 'nobody met an identity between its slots');
  assert.equal(wrong.slice(0, 10), [], `${wrong.length} wrong`);
  assert.is(recording.eras.length, CHANGES + 1);
  assert.ok(contested > CHANGES, 'many verdicts fell into a change that matters to them');
});

/** What no host with whole revisions could have done, made from what was recorded. */
const BROKEN: Readonly<Record<string, (whole: Recording) => Recording>> = {
  'every flow names the revision before': (whole) =>
    withFlows(whole, (flow) => ({ ...flow, revision: flow.revision! - 1 })),
  'every flow names the revision after': (whole) =>
    withFlows(whole, (flow) => ({ ...flow, revision: flow.revision! + 1 })),
  'one flow names a revision of a moment ago': (whole) =>
    withFlows(whole, (flow, i) => (i === 100 ? { ...flow, revision: flow.revision! - 3 } : flow)),
  'one flow names no revision': (whole) =>
    withFlows(whole, ({ revision, ...flow }, i) => (i === 100 ? flow : { ...flow, revision: revision! })),
  'one flow names another rule': (whole) =>
    withFlows(whole, (flow, i) => (i === 100 ? { ...flow, rules: ['cnp/shop/p0 egress[9]'] } : flow)),
  'what was denied got through': (whole) => withResults(whole, 'EPERM', 'ok'),
  'what was allowed did not get through': (whole) => withResults(whole, 'ok', 'silence'),
  'denials are told as connections': (whole) =>
    withFlows(whole, (flow) => (flow.verdict === 'DROPPED' ? { ...flow, verdict: 'FORWARDED' } : flow)),
  'a flow is missing': (whole) => {
    const { source: one } = whole.flows.find(({ event, direction }) => event === 'deny' && direction === 'EGRESS')!;
    return { ...whole, flows: whole.flows.filter(({ source: other }) => other?.port !== one?.port) };
  },
  'everything happened two changes later': (whole) => ({
    ...whole,
    eras: whole.eras.map((era, i, all) => ({ ...era, world: all[Math.max(0, i - 2)]!.world })),
  }),
  'egress was judged, ingress was not': (whole) => ({ ...whole, isHere: (workload) => workload !== 'shop/s' }),
};

for (const [what, breakIt] of Object.entries(BROKEN))
  test(`the check fails where ${what}`, () => {
    const whole = lastPart(recording);
    assert.equal(checkRecording(whole).wrong, []);
    assert.ok(checkRecording(breakIt(whole)).wrong.length > 0);
  });

test('a change that takes a right away ends the connections that had it, and no other change ends any', async () => {
  await only(lab.postern);
  const held = {
    a4: await lab.hold(150, '127.0.0.1', 7001, lab.home('a')),
    a6: await lab.hold(150, HOME[6], 7001, lab.home('a')),
    out: await lab.hold(100, FAR[4], 7001, lab.home('a')),
    b4: await lab.hold(150, HOME[4], 7001, lab.home('b')),
    b6: await lab.hold(150, '::1', 7001, lab.home('b')),
    in4: await lab.hold(100, HOME[4], 7001, lab.outside, NEAR[4]),
    in6: await lab.hold(100, HOME[6], 7001, lab.outside, NEAR[6]),
  };
  const alive = async () =>
    Object.fromEntries(await Promise.all(Object.entries(held).map(async ([name, one]) => [name, await one()])));
  const cidrs = [{ fromCIDR: [`${NEAR[4]}/32`] }, { fromCIDR: [`${NEAR[6]}/128`] }];
  const all = { a4: 150, a6: 150, out: 100, b4: 150, b6: 150, in4: 100, in6: 100 };

  await only(lab.postern, cnp('s', { ingress: [{ fromEndpoints: [app('a'), app('b')] }, ...cidrs] }));
  assert.equal(await alive(), all, 'enforced now, and still allowed');
  const before = await counters();
  await only(lab.postern, cnp('s', { ingress: [{ fromEndpoints: [app('b')] }, ...cidrs] }));
  assert.equal(await alive(), { ...all, a4: 0, a6: 0 }, 'a may not come any more');
  await only(
    lab.postern,
    cnp('s', { ingress: [{ fromEndpoints: [app('b')], toPorts: [port(7001)] }, ...cidrs] }),
    cnp('t', { ingress: [{}], egress: [{}] }),
  );
  assert.equal(await alive(), { ...all, a4: 0, a6: 0 }, 'another rule for the same, and a policy for somebody else');
  await only(
    lab.postern,
    cnp('s', { ingress: [{ fromEndpoints: [app('b')] }, cidrs[1]] }),
    cnp('b', { egress: [{ toEndpoints: [app('s')], toPorts: [port(7002)] }] }),
  );
  assert.equal(await alive(), { ...all, a4: 0, a6: 0, b4: 0, b6: 0, in4: 0 }, 'egress of b, and an address');
  await only(lab.postern);
  assert.equal(await alive(), { a4: 0, a6: 0, out: 100, b4: 0, b6: 0, in4: 0, in6: 100 });
  const after = await counters();
  assert.is(after.revoked! - before.revoked!, 700);
  assert.is(after.revokeFailed, before.revokeFailed);
});

async function counters(): Promise<Record<string, number>> {
  return (await lab.postern.agent('/v1/status')).body.counters;
}

function withFlows(whole: Recording, change: (flow: Flow, i: number) => Flow): Recording {
  return { ...whole, flows: whole.flows.map(change) };
}

function withResults(whole: Recording, from: string, to: string): Recording {
  const attempts = whole.attempts.map((attempt) => (attempt.result === from ? { ...attempt, result: to } : attempt));
  return { ...whole, attempts };
}

/** The last changes are enough to be broken. A port that was used before has conversations from before: left out. */
function lastPart(whole: Recording): Recording {
  const eras = whole.eras.slice(-100);
  const fromUs = eras[1]!.fromUs;
  const used = new Set(whole.attempts.filter(({ beginUs }) => beginUs <= fromUs).map(({ sourcePort }) => sourcePort));
  const attempts = whole.attempts.filter(({ beginUs, sourcePort }) => beginUs > fromUs && !used.has(sourcePort));
  const asked = new Set(attempts.map(({ sourcePort }) => sourcePort));
  const firstUs = Math.min(...attempts.map(({ beginUs }) => beginUs));
  const flows = whole.flows.filter((flow) => timeUs(flow) >= firstUs && asked.has(flow.source?.port ?? 0));
  return { ...whole, eras, attempts, flows };
}

test.run();
