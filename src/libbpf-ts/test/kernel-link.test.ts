import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, rmdirSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BpfLink, BpfObject, BpfProgram, inNetns } from '../src/index.ts';
import { netnsCookie } from '../src/net/index.ts';
import { compile, inCgroup, missing, privateBpffs, until } from './kernel.ts';

const test = suite('links');
const reason = missing();
if (reason !== undefined) console.log(`SKIP links: ${reason}`);
else define();
test.run();

const CLOSED_PORT = 9;

/** ECONNREFUSED: the connection was allowed, nobody listens. EPERM: the program denied it. */
function attempt(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
  });
}

/** A process in a network namespace of its own. */
async function otherNetns(test: (path: string) => void): Promise<void> {
  const child = spawn('unshare', ['--net', 'sleep', '60']);
  const path = `/proc/${child.pid}/ns/net`;
  const home = readlinkSync('/proc/self/ns/net');
  try {
    await until(
      () =>
        existsSync(path) &&
        readlinkSync(path) !== home &&
        readFileSync(`/proc/${child.pid}/comm`, 'utf8') === 'sleep\n',
    );
    test(path);
  } finally {
    child.kill('SIGKILL');
  }
}

function define(): void {
  const object = BpfObject.open(compile('all'));
  const bpffs = privateBpffs();
  test.before(() => {
    object.rodata.settings = { ...object.rodata.settings, deny_port: CLOSED_PORT };
    object.load();
  });
  test.after(() => object.close());

  test('a pinned cgroup link survives, is found again and changes its program without a gap', () =>
    inCgroup(async (cgroup) => {
      const pin = `${bpffs}/connect4`;
      const link = object.program('connect_first').attachCgroup(cgroup);
      assert.is(await attempt(CLOSED_PORT), 'EPERM');
      link.pin(pin);
      const { id, progId } = link.info();
      link.close();
      assert.is(await attempt(CLOSED_PORT), 'EPERM');

      const again = BpfLink.openPinned(pin);
      const info = again.info();
      assert.is(info.type, 'cgroup');
      assert.is(info.id, id);
      assert.is(info.progId, progId);
      assert.is(info.cgroupId, statSync(cgroup).ino);
      assert.is(info.attachType, 10);
      assert.throws(
        () => again.update(object.program('connect_second'), object.program('connect_second')),
        /update BPF link: EPERM, another program is attached/,
      );
      again.update(object.program('connect_second'), object.program('connect_first'));
      assert.is(again.info().id, id);
      assert.is(await attempt(CLOSED_PORT), 'ECONNREFUSED');
      assert.ok(object.bss.connects >= 1000);
      again.destroy();
      assert.not.ok(existsSync(pin));
      assert.throws(() => again.fd, /closed/);
      again.close();
    }));
  test('detaching ends the attachment though the pin stays', () =>
    inCgroup(async (cgroup) => {
      const link = object.program('connect_first').attachCgroup(cgroup);
      link.pin(`${bpffs}/detached`);
      assert.is(await attempt(CLOSED_PORT), 'EPERM');
      assert.ok(link.detach());
      assert.is(await attempt(CLOSED_PORT), 'ECONNREFUSED');
      assert.is(link.info().cgroupId, 0);
      link.unpin();
      link.unpin();
      link.close();
    }));
  test('closing an unpinned link ends the attachment', () =>
    inCgroup(async (cgroup) => {
      {
        using _link = object.program('connect_first').attachCgroup(cgroup);
        assert.is(await attempt(CLOSED_PORT), 'EPERM');
      }
      assert.is(await attempt(CLOSED_PORT), 'ECONNREFUSED');
    }));
  test('attaching to what is not a cgroup names both', () => {
    const directory = `${bpffs}/directory`;
    mkdirSync(directory);
    assert.throws(
      () => object.program('connect_first').attachCgroup(directory),
      /Cannot attach program "connect_first" to cgroup ".*directory": EBADF/,
    );
    assert.throws(() => object.program('connect_first').attachCgroup('/nonexistent'), /ENOENT/);
    rmdirSync(directory);
  });
  test('a program pinned by one object updates a link of another', () =>
    inCgroup(async (cgroup) => {
      object.program('connect_second').pin(`${bpffs}/second`);
      const program = BpfProgram.openPinned(`${bpffs}/second`);
      assert.is(program.name, 'connect_second');
      assert.is(program.info().id, object.program('connect_second').info().id);
      const link = object.program('connect_first').attachCgroup(cgroup);
      link.update(program);
      assert.is(link.info().progId, program.info().id);
      program.close();
      link.destroy();
    }));
  test('a tracing program runs until its link is closed, pins included', () => {
    const pin = `${bpffs}/executed`;
    const link = object.program('executed').attach();
    assert.is(link.info().type, 'raw_tracepoint');
    execFileSync('true');
    assert.ok(object.bss.executions > 0);
    link.pin(pin);
    link.close();
    const before = object.bss.executions;
    execFileSync('true');
    assert.ok(object.bss.executions > before);
    const again = BpfLink.openPinned(pin);
    assert.throws(() => again.update(object.program('executed')), /update BPF link: EINVAL/);
    again.destroy();
    assert.not.ok(existsSync(pin));
  });
  test('a task iterator visits this process', () => {
    using link = object.program('each_task').attachIter();
    assert.is(link.info().type, 'iter');
    const output = link.readIter();
    const pids = Array.from({ length: output.length / 4 }, (_, index) => output.readUInt32LE(index * 4));
    assert.ok(pids.includes(process.pid));
    assert.is(link.detach(), false);
  });
  test('a file iterator can be limited to one process', () => {
    const fd = openSync('/dev/null', 'r');
    using link = object.program('each_file').attachIter({ pid: process.pid });
    const output = link.readIter();
    const rows = Array.from({ length: output.length / 8 }, (_, index) => [
      output.readUInt32LE(index * 8),
      output.readUInt32LE(index * 8 + 4),
    ]);
    assert.ok(rows.every(([pid]) => pid === process.pid));
    assert.ok(rows.some(([, found]) => found === fd));
    closeSync(fd);
  });
  test('an iterator sees the sockets of the network namespace it runs in', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    using link = object.program('each_socket').attachIter();
    const sees = (): boolean => {
      const output = link.readIter();
      return Array.from({ length: output.length / 4 }, (_, index) => output.readUInt32LE(index * 4)).includes(port);
    };
    assert.ok(sees());
    await otherNetns((path) => {
      assert.is(inNetns(path, sees), false);
      assert.is(
        inNetns(path, () => readlinkSync('/proc/thread-self/ns/net')),
        readlinkSync(path),
      );
    });
    assert.ok(sees());
    server.close();
  });
  test('a network namespace has one cookie', async () => {
    const home = netnsCookie();
    assert.ok(home > 0);
    await otherNetns((path) => {
      assert.is.not(inNetns(path, netnsCookie), home);
      assert.is(inNetns(path, netnsCookie), inNetns(path, netnsCookie));
    });
    assert.is(netnsCookie(), home);
  });
  test('inNetns comes back after an error and refuses promises', async () => {
    const home = readlinkSync('/proc/thread-self/ns/net');
    await otherNetns((path) => {
      assert.throws(() => {
        inNetns(path, () => {
          throw new Error('inside');
        });
      }, /inside/);
      assert.is(readlinkSync('/proc/thread-self/ns/net'), home);
      assert.throws(() => inNetns(path, async () => {}), /must be synchronous/);
      assert.is(readlinkSync('/proc/thread-self/ns/net'), home);
      assert.throws(() => inNetns('/dev/null', () => {}), /enter network namespace "\/dev\/null": EINVAL/);
      assert.throws(() => inNetns('/nonexistent', () => {}), /ENOENT/);
    });
  });
  test('XDP and tcx attach to an interface of the current network namespace', () =>
    otherNetns((path) => {
      inNetns(path, () => {
        using link = object.program('pass').attachXdp('lo', { mode: 'skb' });
        assert.is(link.info().type, 'xdp');
        assert.is(link.info().ifindex, 1);
        using tcx = object.program('discard').attachTcx('lo', 'ingress');
        assert.is(tcx.info().type, 'tcx');
        assert.throws(() => object.program('pass').attachXdp('nope'), /find interface "nope": ENODEV/);
      });
    }));
  test('test_run returns the verdict, the packet and the kernel’s refusal', () => {
    const packet = Buffer.alloc(64, 0x11);
    const { retval, dataOut } = object.program('pass').testRun({ dataIn: packet, dataOutSize: 128 });
    assert.is(retval, 2);
    assert.equal(dataOut, packet);
    assert.throws(() => object.program('pass').testRun({ dataIn: Buffer.alloc(4) }), /test-run program "pass": EINVAL/);
    assert.throws(() => object.program('connect_first').testRun({}), /ENOTSUPP/);
  });
  test('the tools see what the library made', () => {
    const text = execFileSync('bpftool', ['-j', 'prog', 'show', 'id', `${object.program('pass').info().id}`], {
      encoding: 'utf8',
    });
    assert.is(JSON.parse(text).name, 'pass');
    assert.is(JSON.parse(text).tag, object.program('pass').info().tag);
  });
}
