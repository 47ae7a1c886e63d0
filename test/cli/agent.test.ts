// What `postern agent …` makes of an agent's answers. The real agent is asked in the end-to-end tests; here a plain HTTP
// server speaks in its shapes, and stays where it is when it is asked to detach.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cli, type With } from './cli-run.ts';
import { flowBatch, REPORT } from './test-server.ts';

const test = suite('the agent of this host');
const runDir = mkdtempSync(join(tmpdir(), 'postern-cli-'));
const { endpoints, discover, ...status } = REPORT;
const flows = flowBatch(Date.now()).trim().split('\n').slice(1);
let degraded: string[] = [];
let server: Server;

test.before(async () => {
  server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://localhost');
    const last = Number(url.searchParams.get('last'));
    const answers: Record<string, unknown> = {
      '/healthz': { status: 'ok' },
      '/v1/status': { ...status, degraded, endpoints: endpoints.length, unclaimed: discover.length },
      '/v1/endpoints': { items: endpoints },
      '/v1/maps': { items: status.maps },
      '/v1/gateways': {
        items: [
          { path: '/usr/sbin/cron', startsJobs: true, isDefault: true, isHere: true },
          { path: '/opt/launch', startsJobs: false, isDefault: false, isHere: false },
          { path: '/usr/bin/monit', startsJobs: true, isDefault: true, isHere: false },
        ],
      },
      '/v1/flows': { items: flows.slice(-last).map((line) => JSON.parse(line)) },
    };
    if (url.searchParams.get('follow') === 'true') return void response.end(`${flows.join('\n')}\n`);
    response.end(JSON.stringify(answers[url.pathname]));
  });
  await new Promise<void>((resolve) => server.listen(join(runDir, 'agent.sock'), resolve));
});
test.after(() => {
  server.close();
  rmSync(runDir, { recursive: true });
});

const run = (argv: string[], options: With = {}) =>
  cli(['agent', ...argv], { ...options, env: { POSTERN_RUN_DIR: runDir } });

test('status is 0 when all is well, 1 when it is degraded', async () => {
  degraded = [];
  const well = await run(['status']);
  assert.is(well.exit, 0);
  assert.match(well.stdout, /applied revision: +1000000\n[\s\S]*degraded: +no/);
  degraded = ['SCTP: this kernel lacks it'];
  const ill = await run(['status']);
  assert.is(ill.exit, 1);
  assert.match(ill.stdout, /degraded: +SCTP: this kernel lacks it/);
});

test('gateways are those of this host and those that were added; --all shows every one', async () => {
  const shown =
    'PATH            JOBS  FROM        HERE\n/usr/sbin/cron  yes   default     yes\n/opt/launch     no    --gateways  no\n';
  assert.is((await run(['gateways'])).stdout, shown);
  assert.is((await run(['gateways', '--all'])).stdout, `${shown}/usr/bin/monit  yes   default     no\n`);
});

test('endpoints and maps are tables', async () => {
  assert.match((await run(['endpoints'])).stdout, /^ID +WORKLOAD[^\n]*\nweb-1\/812-44120 +shop\/backend/);
  assert.match((await run(['maps'])).stdout, /^MAP +TYPE +ENTRIES +OF +FULL\npolicy +hash +4 +100 +4 %\n$/);
});

test('flows are lines; -f ends with 3 when the agent ends', async () => {
  assert.match((await run(['flows', '--last', '1'])).stdout, /^[^\n]*FORWARDED +close[^\n]*\n$/);
  const followed = await run(['flows', '-f', '-o', 'json']);
  assert.is(followed.exit, 3);
  assert.is(followed.stdout, `${flows.join('\n')}\n`);
  assert.match(followed.stderr, /the agent ended the stream/);
});

test('filters belong to observe', async () => {
  assert.match(
    (await run(['flows', '--verdict', 'DROPPED'])).stderr,
    /unknown flag --verdict of "postern agent flows"/,
  );
});

test('detach is refused while the agent runs', async () => {
  if (process.geteuid?.() !== 0) return;
  let detached = 0;
  const local = { 'agent detach': async () => detached++ };
  const { exit, stderr } = await run(['detach', '--yes'], { local });
  assert.equal([exit, detached], [1, 0]);
  assert.match(stderr, /the agent of this host is running, and holds its programs in the kernel: nothing was changed/);
});

test.run();
