// @timeout 300
// A disk that is full: flows give way, policy does not. The disk is a small one in memory, so this needs root.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Flow } from '../../src/api/flow.ts';
import { skip } from '../skip.ts';
import { call, cnp, eventually, startTestServer, type TestServer, temporaryDir, workload } from './harness.ts';

const test = suite('full disk');
const name = 'flows are not stored, counted and shown as lost; policy is written, also over a restart';
const filled = 'policy is written when somebody else has taken the last byte';

if (process.geteuid?.() !== 0) {
  skip(test, name, 'root: needs to mount a tmpfs');
  skip(test, filled, 'root: needs to mount a tmpfs');
} else {
  const dir = temporaryDir();
  const state = path.join(dir, 'state');
  let server: TestServer | undefined;

  test.before(() => {
    mkdirSync(state, { mode: 0o711 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400m,mode=711', 'tmpfs', state]);
  });
  test.after(async () => {
    await server?.close();
    execFileSync('umount', [state]);
    rmSync(dir, { recursive: true, force: true });
  });

  const flows = (n: number) =>
    [
      { host: 'a' },
      ...Array.from({ length: n }, () => ({ time: new Date().toISOString(), event: 'connect', verdict: 'FORWARDED' })),
    ]
      .map((line) => `${JSON.stringify(line)}\n`)
      .join('');
  const send = (to: TestServer) =>
    call(to, 'POST', '/v1/agent/flows', { headers: { 'content-type': 'application/x-ndjson' }, body: flows(50) });

  test(name, async () => {
    server = await startTestServer({ dir });
    const own = server;
    await send(own);
    await eventually(() => own.context.flows.stored === 50, 'flows while there is room');
    const { bavail, bsize } = statfsSync(state);
    // 40 MiB are left: less than flows may have.
    writeFileSync(path.join(state, 'ballast'), Buffer.alloc(bavail * bsize - 40 * 1024 * 1024));
    await send(own);
    await eventually(() => own.context.flows.lost >= 50, 'loss that is counted');
    for (let i = 0; i < 50; i++) {
      const put = await call(own, 'PUT', `/v1/policies/cnp/shop/p${i}`, { body: cnp(`p${i}`) });
      assert.is(put.status, 201, put.text);
      await send(own);
    }
    assert.ok(own.logged.some((line) => /flows are not stored/.test(line)));
    await own.close();

    server = await startTestServer({ dir });
    assert.is((await call(server, 'GET', '/v1/policies?limit=100')).body.items.length, 50);
    assert.is((await call(server, 'PUT', '/v1/workloads/shop/a', { body: workload('a') })).status, 201);
    const again = server;
    await send(again);
    await eventually(() => again.context.flows.lost >= 50, 'loss after the restart');
    rmSync(path.join(state, 'ballast'));
    await send(again);
    await eventually(async () => {
      const { items } = (await call(again, 'GET', '/v1/flows?event=lost')).body;
      return items.some((flow: Flow) => flow.where === 'server' && flow.count! >= 50);
    }, 'a flow that says how many were lost');
  });

  test(filled, async () => {
    const own = server!;
    await call(own, 'DELETE', '/v1/policies/cnp/shop/p0'); // finds room, and keeps some of it
    const reserve = path.join(state, 'reserve');
    assert.ok(existsSync(reserve));
    const { bavail, bsize } = statfsSync(state);
    writeFileSync(path.join(state, 'ballast'), Buffer.alloc(bavail * bsize));
    for (let i = 0; i < 200; i++) {
      const put = await call(own, 'PUT', `/v1/workloads/shop/w${i}`, { body: workload(`w${i}`) });
      assert.is(put.status, 201, put.text);
    }
    assert.not.ok(existsSync(reserve));
    assert.ok(own.logged.some((line) => /is full: 32 MiB that were kept for policy are given up/.test(line)));
    rmSync(path.join(state, 'ballast'));
    await call(own, 'DELETE', '/v1/workloads/shop/w0');
    assert.ok(existsSync(reserve), 'made again when there is room');
  });
}

test.run();
