import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePolicy } from '../../src/core/policy.ts';
import type { Workload } from '../../src/core/workload.ts';
import type { Draft } from '../../src/server/draft.ts';
import { expiredIdentities } from '../../src/server/identity-allocation.ts';
import { hashOf, missing } from '../../src/server/migrate.ts';
import { type Operation, type Precondition, planWrite } from '../../src/server/plan.ts';
import type { State } from '../../src/server/state.ts';
import { cnp } from './harness.ts';

const test = suite('plan');

const EMPTY: State = {
  uid: 'u',
  revision: 0,
  namespaces: new Map(),
  workloads: new Map(),
  hostWorkloads: new Map(),
  policies: new Map(),
  identities: new Map(),
};

function plan(
  base: State,
  operations: readonly Operation[],
  now = '2026-11-24T00:00:00.000Z',
  precondition?: Precondition,
): Draft {
  let uids = 0;
  const newUid = () => `${String(++uids).padStart(8, '0')}-${base.revision}`;
  return planWrite(base, operations, { revision: base.revision + 1, now, actor: 'uid:0', newUid }, precondition);
}

const put = (name: string, labels: Record<string, string>, ports?: Workload['ports']): Operation => ({
  type: 'putWorkload',
  workload: { namespace: 'shop', name, labels, match: [{ cgroup: `/${name}` }], ...(ports && { ports }) },
});
const remove = (name: string): Operation => ({ type: 'deleteWorkload', namespace: 'shop', name });
const identityOf = (state: State, name: string) => state.workloads.get(`shop/${name}`)!.identity;

function putPolicy(name: string): Operation {
  const document = cnp(name);
  const policy = parsePolicy(document);
  assert.ok(policy.ok);
  return { type: 'putPolicy', policy: policy.value, document, text: JSON.stringify(document), format: 'json' };
}

test('numbers begin at 256 of cluster 1 and follow one another', () => {
  const { next } = plan(EMPTY, [put('a', { app: 'a' }), put('b', { app: 'b' }), put('c', { app: 'a' })]);
  assert.equal(
    ['a', 'b', 'c'].map((name) => identityOf(next, name)),
    [65792, 65793, 65792],
  );
});

test('changes come in an order in which they can be applied', () => {
  const { changes } = plan(EMPTY, [putPolicy('p'), put('a', { app: 'a' })]);
  assert.equal(
    changes.map(({ collection }) => collection),
    ['namespaces', 'identities', 'workloads', 'policies'],
  );
});

test('a number whose labels are gone is kept for 30 days, and comes back with its labels', () => {
  let state = plan(EMPTY, [put('a', { app: 'a' })]).next;
  const first = identityOf(state, 'a');
  const gone = plan(state, [remove('a')], '2026-11-25T00:00:00.000Z');
  assert.is(gone.changes.find(({ collection }) => collection === 'identities')!.type, 'DELETED');
  state = gone.next;
  const other = plan(state, [put('b', { app: 'b' })]).next;
  assert.is.not(identityOf(other, 'b'), first);
  const back = plan(other, [put('c', { app: 'a' })]);
  assert.is(identityOf(back.next, 'c'), first);
  assert.is(back.changes.find(({ key }) => key === String(first))!.type, 'ADDED');
  const day = (n: number) => Date.parse('2026-11-25T00:00:00.000Z') + n * 86_400_000;
  assert.equal(expiredIdentities(other.identities.values(), day(29)), []);
  assert.equal(
    expiredIdentities(other.identities.values(), day(31)).map(({ id }) => id),
    [first],
  );
});

test('the last number is followed by the first free one, and all taken is refused', () => {
  const identities = new Map<string, { id: number; labels: string[]; workloads: string[] }>();
  for (let n = 256; n <= 65535; n++) {
    if (n === 300) continue;
    const id = 65536 + n;
    identities.set(String(id), { id, labels: [`user:n=${n}`], workloads: ['shop/x'] });
  }
  const state = plan({ ...EMPTY, identities }, [put('a', { app: 'a' })]).next;
  assert.is(identityOf(state, 'a'), 65536 + 300);
  assert.throws(() => plan(state, [put('b', { app: 'b' })]), /all 65280 numbers are taken/);
});

test('createdRevision stays when a registration is replaced: order of registration decides a tie', () => {
  const first = plan(EMPTY, [put('a', { app: 'a' })]).next;
  const second = plan(first, [put('a', { app: 'b' })]).next;
  const { createdRevision, meta } = second.workloads.get('shop/a')!;
  assert.equal([createdRevision, meta.revision], [1, 2]);
});

test('named ports of one identity agree', () => {
  const { next } = plan(EMPTY, [put('a', { app: 'a' }, { web: '80/TCP' }), put('b', { app: 'a' }, { db: '1/TCP' })]);
  assert.equal(next.identities.get('65792')!.ports, { web: '80/TCP', db: '1/TCP' });
  assert.throws(() => plan(next, [put('b', { app: 'a' }, { web: '81/TCP' })]), /web.*shop\/a/);
});

test('what is the same is no change', () => {
  const { next } = plan(EMPTY, [put('a', { app: 'a' }), putPolicy('p')]);
  const again = plan(next, [put('a', { app: 'a' }), putPolicy('p')]);
  assert.equal(again.changes, []);
  assert.equal(
    again.results.map(({ result }) => result),
    ['unchanged', 'unchanged'],
  );
});

test('a namespace with something in it cannot be deleted, not even by the write that empties half of it', () => {
  const { next } = plan(EMPTY, [put('a', { app: 'a' }), putPolicy('p')]);
  const drop: Operation = { type: 'deleteNamespace', name: 'shop' };
  assert.throws(() => plan(next, [remove('a'), drop]), /Cannot delete namespace shop: 1 objects/);
  const all = plan(next, [drop, remove('a'), { type: 'deletePolicy', kind: 'cnp', namespace: 'shop', name: 'p' }]);
  assert.is(all.next.namespaces.size, 0);
});

test('migrations run in order, each once, and what changed or comes too late is an error', () => {
  const files = ['0001', '0002', '0003'].map((name) => ({ name, text: name }));
  const ran = files.slice(0, 2).map(({ name, text }) => ({ name, hash: hashOf(text) }));
  assert.equal(
    missing(files, ran).map(({ name }) => name),
    ['0003'],
  );
  assert.equal(missing(files, []).length, 3);
  assert.throws(() => missing(files.slice(0, 1), ran), /has run, this version does not know it/);
  assert.throws(
    () =>
      missing(
        [{ name: '0001b', text: '' }, ...files].sort((a, b) => (a.name < b.name ? -1 : 1)),
        ran,
      ),
    /comes before/,
  );
  assert.throws(() => missing(files, [{ name: '0001', hash: 'x' }]), /was changed after it ran/);
});

test('workloads of one identity have one mode, changed in one write', () => {
  const inMode = (name: string, mode?: Workload['mode'], app = 'a'): Operation => {
    const operation = put(name, { app });
    assert.is(operation.type, 'putWorkload');
    return {
      ...operation,
      workload: { ...(operation as { workload: Workload }).workload, ...(mode && { mode }) },
    } as Operation;
  };
  const both = plan(EMPTY, [inMode('one'), inMode('two')]).next;
  const modeOf = (state: State) => state.identities.get(String(identityOf(state, 'one')))!.mode;
  assert.is(modeOf(both), undefined);
  assert.throws(() => plan(both, [inMode('one', 'audit')]), /shop\/two has the same labels.*is in enforce/);
  const audited = plan(both, [inMode('one', 'audit'), inMode('two', 'audit')]).next;
  assert.is(modeOf(audited), 'audit');
  assert.throws(() => plan(audited, [inMode('three', 'observe')]), /is in audit/);
  const alone = plan(audited, [remove('two'), inMode('one', 'observe')]).next;
  assert.is(modeOf(alone), 'observe');
  assert.is(modeOf(plan(alone, [inMode('one', 'enforce')]).next), undefined);
});

test.run();
