import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BpfObject,
  clsactKind,
  createClsact,
  detachTc,
  features,
  inNetns,
  queryTc,
  removeClsact,
  tcFilters,
} from '../src/index.ts';
import { compile, missing, until } from './kernel.ts';

const test = suite('tc filters');
const reason = missing() ?? withoutClsact();
if (reason !== undefined) console.log(`SKIP tc filters: ${reason}`);
else define();
test.run();

/** Whether the kernel can is asked by trying, in a namespace that ends with the answer. */
function withoutClsact(): string | undefined {
  const words = "tc qdisc add dev lo clsact && tc filter add dev lo egress bpf bytecode '1,6 0 0 0,'";
  try {
    execFileSync('unshare', ['--net', 'sh', '-c', words], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'kernel: no clsact qdisc or no cls_bpf here (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF), or no tc';
  }
}

function define(): void {
  const object = BpfObject.open(compile('all'));
  const program = (name: string) => object.program(name);
  const home = spawn('unshare', ['--net', 'sleep', '600']);
  const path = `/proc/${home.pid}/ns/net`;
  const inside = <T>(run: () => T): T => inNetns(path, run);
  const there = (...argv: string[]): string =>
    execFileSync('nsenter', [`--net=${path}`, '--', ...argv], { encoding: 'utf8' });
  /** What the filters count while one datagram goes over loopback, to a group: nobody answers. */
  const counted = (): number => {
    const before = object.bss.filtered as number;
    there('bash', '-c', 'echo x > /dev/udp/239.0.0.9/9');
    return (object.bss.filtered as number) - before;
  };
  const id = { priority: 1, handle: 0x1234_5678 };

  test.before(async () => {
    object.load();
    const own = readlinkSync('/proc/self/ns/net');
    await until(() => existsSync(path) && readlinkSync(path) !== own);
    await until(() => readFileSync(`/proc/${home.pid}/comm`, 'utf8') === 'sleep\n');
    there('ip', 'link', 'set', 'lo', 'up');
    there('ip', 'route', 'add', '239.0.0.0/8', 'dev', 'lo');
  });
  test.before.each(() => {
    inside(() => removeClsact('lo'));
  });
  test.after(() => {
    home.kill('SIGKILL');
    object.close();
  });

  test('a filter runs, is listed, changes its program in its place, and goes', () =>
    inside(() => {
      assert.is(createClsact('lo'), true);
      assert.is(createClsact('lo'), false, 'it is there');
      assert.is(clsactKind('lo'), 'clsact');
      assert.equal(program('filter_first').attachTc('lo', 'egress', id), id);
      const { id: programId } = program('filter_first').info();
      assert.equal(
        tcFilters('lo', 'egress').filter(({ handle }) => handle !== 0),
        [{ ...id, kind: 'bpf', name: `filter_first:[${programId}]`, programId }],
      );
      assert.is(queryTc('lo', 'egress', id), programId);
      assert.is(counted(), 1);
      program('filter_second').attachTc('lo', 'egress', { ...id, replace: true });
      assert.is(queryTc('lo', 'egress', id), program('filter_second').info().id);
      assert.is(counted(), 1000);
      assert.is(detachTc('lo', 'egress', id), true);
      assert.is(detachTc('lo', 'egress', id), false);
      assert.is(queryTc('lo', 'egress', id), undefined);
      assert.equal(tcFilters('lo', 'egress'), []);
      assert.is(counted(), 0);
      assert.is(removeClsact('lo'), true);
      assert.is(removeClsact('lo'), false);
      assert.is(clsactKind('lo'), undefined);
    }));
  test('directions are apart, and filters of one priority both run, the last one first', () =>
    inside(() => {
      createClsact('lo');
      program('filter_first').attachTc('lo', 'egress', id);
      program('filter_second').attachTc('lo', 'egress', { ...id, handle: 7 });
      program('filter_second').attachTc('lo', 'ingress', { ...id, handle: 9 });
      const handles = (direction: 'ingress' | 'egress') =>
        tcFilters('lo', direction).flatMap(({ handle }) => (handle === 0 ? [] : [handle]));
      assert.equal(handles('egress'), [7, id.handle]);
      assert.equal(handles('ingress'), [9]);
      assert.is(counted(), 2001);
    }));
  test('what was not given is the kernel’s choice', () =>
    inside(() => {
      createClsact('lo');
      const made = program('filter_first').attachTc('lo', 'egress');
      assert.is(made.handle, 1);
      assert.ok(made.priority > 0);
      assert.is(queryTc('lo', 'egress', made), program('filter_first').info().id);
    }));
  test('filters that other tools made are listed by their kind', () => {
    inside(() => createClsact('lo'));
    there(...'tc filter add dev lo egress prio 3 u32 match u32 0 0 flowid 1:1'.split(' '));
    const kinds = inside(() => tcFilters('lo', 'egress')).map(({ kind, priority }) => `${kind} ${priority}`);
    assert.equal([...new Set(kinds)], ['u32 3']);
  });
  test('a long list comes whole', () =>
    inside(() => {
      createClsact('lo');
      for (let handle = 1; handle <= 700; handle++)
        program('filter_first').attachTc('lo', 'egress', { priority: 1, handle });
      assert.is(tcFilters('lo', 'egress').filter(({ handle }) => handle !== 0).length, 700);
    }));
  test('refusals name the interface, the direction and what to do', () => {
    inside(() => {
      assert.throws(
        () => program('filter_first').attachTc('lo', 'egress', id),
        /attach program "filter_first" to tc egress of "lo": EINVAL, there is no clsact qdisc/,
      );
      assert.is(queryTc('lo', 'egress', id), undefined);
      assert.is(detachTc('lo', 'egress', id), false);
      assert.equal(tcFilters('lo', 'egress'), []);
      assert.throws(() => createClsact('nope'), /find interface "nope": ENODEV/);
      createClsact('lo');
      program('filter_first').attachTc('lo', 'egress', id);
      assert.throws(
        () => program('filter_second').attachTc('lo', 'egress', id),
        /EEXIST, another filter has this priority and handle/,
      );
    });
    there(...'tc filter add dev lo egress prio 3 u32 match u32 0 0 flowid 1:1'.split(' '));
    assert.throws(
      () => inside(() => program('filter_first').attachTc('lo', 'egress', { ...id, priority: 3 })),
      /EINVAL, .*another kind of filter has this priority[\s\S]*/,
    );
  });
  test('an ingress qdisc is no place for egress: the kernel would run it at ingress', () => {
    there(...'tc qdisc add dev lo ingress'.split(' '));
    inside(() => {
      assert.is(clsactKind('lo'), 'ingress');
      assert.is(createClsact('lo'), false);
      assert.throws(() => program('filter_first').attachTc('lo', 'egress', id), /EOPNOTSUPP, .*use clsact/);
      program('filter_first').attachTc('lo', 'ingress', id);
      assert.is(counted(), 1);
    });
    there(...'tc qdisc del dev lo ingress'.split(' '));
  });
  test('a program that is first at tcx is asked before one that was there', () =>
    inside(() => {
      if (!features().tcx) return console.log('SKIP first at tcx: kernel: needs 6.6 (tcx)');
      using stops = program('discard').attachTcx('lo', 'egress');
      using after = program('filter_first').attachTcx('lo', 'egress');
      assert.is(counted(), 0, 'the one before ended it');
      using first = program('filter_second').attachTcx('lo', 'egress', { first: true });
      assert.is(counted(), 1000);
      void [stops, after, first];
    }));
}
