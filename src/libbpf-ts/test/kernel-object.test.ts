import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BpfError, BpfObject, BpfVerifierError, features, libbpfVersion } from '../src/index.ts';
import { libbpf } from '../src/sys/libbpf.ts';
import { compile, missing, scratch } from './kernel.ts';

const test = suite('objects');
const reason = missing();
if (reason !== undefined) console.log(`SKIP objects: ${reason}`);
else define();
test.run();

function rejection(): BpfVerifierError {
  const object = BpfObject.open(compile('rejected'));
  try {
    object.load();
  } catch (error) {
    if (error instanceof BpfVerifierError) return error;
    throw error;
  } finally {
    object.close();
  }
  throw new Error('the verifier accepted it');
}

function define(): void {
  test('lists maps and programs without global data', () => {
    const object = BpfObject.open(compile('all'));
    assert.ok(object.maps.has('policy') && object.maps.has('events'));
    assert.not.ok([...object.maps.keys()].some((name) => name.includes('.')));
    assert.is(object.program('egress').section, 'cgroup_skb/egress');
    assert.throws(() => object.map('nope'), /has no map "nope": it has .*"policy"/);
    assert.throws(() => object.program('nope'), /has no program "nope"/);
    object.close();
  });
  test('constants are set before load and frozen after', () => {
    const object = BpfObject.open(compile('all'));
    assert.equal(object.rodata.settings, { deny_port: 1, tag: '', magic: 0 });
    assert.is(object.rodata.enabled, false);
    object.rodata.settings = { deny_port: 9, tag: 'test', magic: 2 ** 52 };
    object.rodata.enabled = true;
    object.load();
    assert.equal(object.rodata.settings, { deny_port: 9, tag: 'test', magic: 2 ** 52 });
    assert.is(object.program('egress').testRun({ dataIn: Buffer.alloc(64) }).retval, 3);
    assert.throws(() => {
      object.rodata.enabled = false;
    }, /Cannot set "enabled": .rodata is frozen/);
    object.close();
  });
  test('variables are live in both directions', () => {
    const object = BpfObject.open(compile('all'));
    assert.is(object.data.started, 7);
    object.bss.produced = 100;
    object.load();
    const data = Buffer.alloc(64);
    data.writeUInt32LE(2, 14);
    object.program('produce_wakeup').testRun({ dataIn: data });
    assert.is(object.bss.produced, 102);
    object.bss.produced = 5;
    object.program('produce_wakeup').testRun({ dataIn: data });
    assert.is(object.bss.produced, 7);
    object.close();
  });
  test('a program left out is not loaded', () => {
    const object = BpfObject.open(compile('all'));
    object.program('pass').autoload = false;
    assert.is(object.program('pass').autoload, false);
    object.load();
    assert.throws(() => object.program('pass').fd, /"pass" is not loaded/);
    assert.ok(object.program('egress').fd > 0);
    object.close();
  });
  test('a rejected program says which, why and where', () => {
    const error = rejection();
    assert.is(error.program, 'unchecked');
    assert.is(error.code, 'EACCES');
    assert.match(error.sourceLine ?? '', /return \*count;/);
    assert.match(
      error.message,
      /Cannot load program "unchecked", the verifier rejected it: EACCES, near: return \*count/,
    );
    assert.match(error.message, /R0 invalid mem access 'map_value_or_null'/);
    assert.match(error.verifierLog, /^0: /m);
  });
  test('an unusable file says so in libbpf’s words', () => {
    assert.throws(() => BpfObject.open(Buffer.alloc(100)), /not an ELF file/);
    const foreign = Buffer.from(objectBytes());
    foreign.writeUInt16LE(62, 0x12);
    assert.throws(
      () => BpfObject.open(foreign),
      (error: unknown) => error instanceof BpfError && error.log.includes('libbpf:'),
    );
  });
  test('the verifier log of a good load is kept on request', () => {
    const object = BpfObject.open(compile('all'), { kernelLogLevel: 1 }).load();
    assert.match(object.loadLog, /processed \d+ insns/);
    object.close();
  });
  test('loading off the event loop lets it run and reports the same errors', async () => {
    const object = BpfObject.open(compile('all'));
    let turns = 0;
    const count = setInterval(() => turns++);
    const loading = object.loadAsync();
    assert.throws(() => object.close(), /is being loaded/);
    assert.is(await loading, object);
    clearInterval(count);
    assert.ok(turns > 0);
    assert.is(libbpf().libbpf_set_print(null), null);
    assert.is(object.program('pass').testRun({ dataIn: Buffer.alloc(64) }).retval, 2);
    object.close();
  });
  test('two asynchronous loads keep their logs apart, from each other and from a synchronous one', async () => {
    const [bad, good] = [BpfObject.open(compile('rejected')), BpfObject.open(compile('all'), { kernelLogLevel: 1 })];
    const both = Promise.allSettled([bad.loadAsync(), good.loadAsync()]);
    assert.is(rejection().program, 'unchecked');
    const [failed, loaded] = await both;
    assert.is(failed.status === 'rejected' && failed.reason.program, 'unchecked');
    assert.is(loaded.status, 'fulfilled');
    assert.match(good.loadLog, /'each_socket': -- BEGIN PROG LOAD LOG --/);
    assert.not.match(good.loadLog, /unchecked/);
    bad.close();
    good.close();
  });
  test('a finished worker leaves no print callback behind', async () => {
    const file = `${scratch()}/worker.mjs`;
    const index = new URL('../src/index.ts', import.meta.url).href;
    writeFileSync(
      file,
      `import { BpfObject } from '${index}';
       try { BpfObject.open(${JSON.stringify(compile('rejected'))}).load(); } catch (error) { process.exitCode = error.program === 'unchecked' ? 7 : 8; }`,
    );
    const [code] = await once(new Worker(file), 'exit');
    assert.is(code, 7);
    // libbpf_set_print returns what was installed.
    assert.is(libbpf().libbpf_set_print(null), null);
    assert.is(rejection().program, 'unchecked');
    assert.is(libbpf().libbpf_set_print(null), null);
  });
  test('probes features and the version of libbpf', () => {
    assert.match(libbpfVersion(), /^1\.\d+/);
    const found = features();
    assert.is(found, features());
    assert.ok(found.kernelBtf && found.ringbuf && found.skStorage && found.iterTcp);
  });
}

function objectBytes(): Uint8Array {
  return readFileSync(compile('rejected'));
}
