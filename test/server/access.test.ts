// @timeout 300
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Answer, call, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('access');
let server: TestServer;
/** What the test says of connections: the stand-in for the agent's knowledge of which process is a workload. */
let isWorkload = false;

test.before(async () => {
  server = await startTestServer({ labelOf: () => ({ identity: isWorkload ? 65540 : 0 }) });
});
test.after(() => server?.close());

const NOBODY = 65534;
const path = '/v1/workloads/shop/a';

/** The same request, from a process of another user. */
async function callAs(uid: number, method: string, target: string, where: object, body?: unknown): Promise<Answer> {
  const script = `
    const [options, body] = JSON.parse(process.argv[1]);
    const request = require('node:http').request(options, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, text, body: JSON.parse(text || 'null') })));
    });
    request.end(options.method === 'PUT' || options.method === 'POST' ? body : undefined);`;
  const options = { method, path: target, headers: { 'content-type': 'application/json' }, ...where };
  const argument = JSON.stringify([options, body === undefined ? undefined : JSON.stringify(body)]);
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script, argument], { uid, gid: uid, cwd: '/' });
  return JSON.parse(stdout);
}

const onSocket = () => ({ socketPath: server.socketPath });
const onTcp = () => ({ host: '127.0.0.1', port: new URL(server.url).port });

if (process.geteuid?.() === 0) {
  for (const [name, where] of [
    ['unix socket', onSocket],
    ['loopback TCP', onTcp],
  ] as const) {
    test(`${name}: another user reads`, async () => {
      assert.is((await callAs(NOBODY, 'GET', '/v1/workloads', where())).status, 200);
    });

    test(`${name}: another user does not write, and is told how root would`, async () => {
      for (const [method, target] of [
        ['PUT', path],
        ['DELETE', path],
        ['POST', '/v1/apply'],
        ['PUT', '/v1/policies/cnp/shop/a'],
        ['PUT', '/v1/namespaces/shop'],
      ] as const) {
        const { status, body } = await callAs(NOBODY, method, target, where(), workload('a'));
        assert.is(status, 403, `${method} ${target}`);
        assert.is(body.code, 'read-only');
        assert.ok(body.hint.includes(server.socketPath), body.hint);
        assert.match(body.detail, /uid 65534/);
      }
      assert.is((await call(server, 'GET', path)).status, 404);
    });

    test(`${name}: another user is no agent`, async () => {
      for (const [method, target] of [
        ['GET', '/v1/agent/stream?host=x'],
        ['POST', '/v1/agent/flows'],
        ['PUT', '/v1/agent/hosts/x/report'],
      ] as const) {
        const { status, body } = await callAs(NOBODY, method, target, where(), {});
        assert.is(status, 403);
        assert.is(body.code, 'not-agent');
      }
    });

    test(`${name}: root writes`, async () => {
      const { status, body } = await callAs(0, 'PUT', path, where(), workload('a'));
      assert.ok(status === 201, JSON.stringify(body));
      assert.is(body.meta.updatedBy, 'uid:0');
      assert.is((await callAs(0, 'DELETE', path, where())).status, 204);
    });
  }
} else {
  test("the server's own user writes", async () => {
    assert.is((await call(server, 'PUT', path, { body: workload('a'), overTcp: true })).status, 201);
  });
}

test('a Host that is not this machine is refused on TCP, also for reading', async () => {
  for (const host of ['evil.example', 'evil.example:7460', '192.0.2.1', '127.0.0.1.evil.example']) {
    const { status, body } = await call(server, 'GET', '/v1/workloads', { overTcp: true, headers: { host } });
    assert.is(status, 403, host);
    assert.is(body.code, 'forbidden-host');
  }
});

test('loopback by any of its names is let in', async () => {
  for (const host of ['127.0.0.1', 'localhost:7460', '[::1]:7460', '127.1.2.3:80', 'LOCALHOST']) {
    assert.is((await call(server, 'GET', '/healthz', { overTcp: true, headers: { host } })).status, 200, host);
  }
});

test('a page of another site is refused whatever Host it uses', async () => {
  for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1.evil.example', 'garbage']) {
    for (const overTcp of [true, false]) {
      const { status } = await call(server, 'GET', '/v1/workloads', {
        overTcp,
        headers: { origin, host: 'localhost' },
      });
      assert.is(status, 403, origin);
    }
  }
  const own = await call(server, 'GET', '/v1/workloads', { overTcp: true, headers: { origin: server.url } });
  assert.is(own.status, 200);
});

test('a registered workload gets nothing, whoever runs it', async () => {
  isWorkload = true;
  try {
    for (const overTcp of [true, false]) {
      const { status, body } = await call(server, 'GET', '/v1/workloads', { overTcp });
      assert.is(status, 403);
      assert.is(body.code, 'workload-connection');
      assert.match(body.detail, /identity 65540/);
      assert.is((await call(server, 'GET', '/nowhere', { overTcp })).status, 403);
    }
  } finally {
    isWorkload = false;
  }
});

test('when the kernel cannot say who it is, nothing is let in', async () => {
  const blind = await startTestServer({
    lookup: {
      peerCred: () => {
        throw new Error('EPERM');
      },
      clientSocket: () => undefined,
    },
  });
  try {
    assert.is((await call(blind, 'GET', '/v1/workloads')).status, 403);
    assert.is((await call(blind, 'PUT', path, { overTcp: true, body: workload('a') })).status, 403);
  } finally {
    await blind.close();
  }
});

test('it does not listen beyond loopback', async () => {
  for (const listen of ['0.0.0.0:0', '[::]:0', '192.0.2.1:7460', 'localhost', '127.0.0.1:99999']) {
    let said = '';
    await startTestServer({ listen }).then(
      (started) => started.close(),
      (error: Error) => {
        said = error.message;
      },
    );
    assert.match(said, /must be loopback/);
  }
});

test.run();
