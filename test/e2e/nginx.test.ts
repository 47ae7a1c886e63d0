/** A web server with unprivileged workers in front of redis: named by unit and by executable. */
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only, port } from './policies.ts';
import { run, serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('nginx, redis and curl');
let postern: Instance;
let folder: string;
let nginx: ChildProcess;
let redis: ChildProcess;
let http: number;
let proxy: number;
let redisPort: number;
let log = '';

const curl = (unit: string) =>
  run(['curl', '-sS', '--max-time', '5', `http://127.0.0.1:${http}/`], { cgroup: postern.makeCgroup(unit) });
/** Makes a worker of nginx connect to redis; what it met is in its log (redis does not speak HTTP, so never a page). */
async function askRedisThroughNginx(): Promise<string> {
  log = '';
  await run(['curl', '-sS', '--max-time', '5', `http://127.0.0.1:${proxy}/`]);
  await until('nginx says what it met', () => /upstream|connect\(\)/.test(log));
  return log;
}

test.before(
  told(async () => {
    postern = await startInstance();
    [http, proxy, redisPort] = [await freePort(), await freePort(), await freePort()];
    folder = mkdtempSync(join(tmpdir(), 'postern-test-nginx-'));
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, 'temp'));
    writeFileSync(join(folder, 'nginx.conf'), nginxConfig());
    await postern.workload('shop/web', { labels: { app: 'web' }, match: { process: { exe: '/usr/sbin/nginx' } } });
    await postern.workload('shop/frontend', {
      labels: { app: 'frontend' },
      match: { systemdUnit: 'frontend.service' },
    });
    await postern.workload('shop/stranger', {
      labels: { app: 'stranger' },
      match: { systemdUnit: 'stranger.service' },
    });
    await postern.workload('shop/redis', { labels: { app: 'redis' }, match: { systemdUnit: 'redis.service' } });
    redis = await serve(['redis-server', '--port', String(redisPort), '--save', ''], /Ready to accept/, {
      cgroup: postern.makeCgroup('redis.service'),
    });
    nginx = start(['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-g', 'daemon off;'], {
      cgroup: postern.makeCgroup('nginx'),
    });
    nginx.stderr!.setEncoding('utf8').on('data', (text) => {
      log += text;
    });
    await until('nginx answers', async () => (await curl('frontend.service')).stdout === 'welcome');
  }),
);

test.after(async () => {
  nginx?.kill('SIGQUIT');
  redis?.kill('SIGKILL');
  await postern?.destroy();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

test('the unprivileged workers of a root master hold its identity', async () => {
  let endpoint: any;
  await until('the endpoint of nginx has a worker', async () => {
    const { body } = await postern.api('GET', '/v1/endpoints');
    endpoint = body.items.find(({ workload }: { workload: string }) => workload === 'shop/web');
    return endpoint?.processes.length === 2 && endpoint.listening.some((at: { port: number }) => at.port === http);
  });
  assert.equal(endpoint.processes.map(({ user }: { user: string }) => user).sort(), ['root', 'www-data']);
  assert.is(endpoint.why.origin, 'exec');
});

test('the frontend may call the web server, the stranger may not', async () => {
  await only(postern, cnp('web', { ingress: [{ fromEndpoints: [app('frontend')], toPorts: [port(http)] }] }));
  assert.is((await curl('frontend.service')).stdout, 'welcome');
  const refused = await curl('stranger.service');
  assert.is(refused.stdout, '');
  assert.is(refused.code, 7, refused.stderr);
  const flow = await postern.flow(`verdict=DROPPED&port=${http}`, () => true);
  assert.is(flow.source.workload, 'shop/stranger');
  assert.is(flow.destination.workload, 'shop/web');
  assert.is(flow.source.process.exe, '/usr/bin/curl');
  assert.is(flow.source.process.unit, 'stranger.service');
});

test('a worker reaches redis as the web server, by a policy of redis', async () => {
  await only(postern, cnp('redis', { ingress: [{ fromEndpoints: [app('web')], toPorts: [port(redisPort)] }] }));
  assert.not.match(await askRedisThroughNginx(), /Operation not permitted/);
  const flow = await postern.flow(`event=connect&to=shop/redis`, () => true);
  assert.is(flow.source.workload, 'shop/web');
  assert.is(flow.source.process.user, 'www-data');
  assert.is(flow.rule, 'cnp/shop/redis ingress[0]');
  const direct = await run(['redis-cli', '-p', String(redisPort), 'ping'], {
    cgroup: postern.makeCgroup('frontend.service'),
  });
  assert.match(direct.stderr, /Operation not permitted/, 'the frontend has to go through the web server');
});

test('the egress of the web server binds its workers', async () => {
  await only(postern, cnp('web', { egress: [{ toEndpoints: [app('nobody')] }] }));
  assert.match(await askRedisThroughNginx(), /connect\(\).*Operation not permitted/);
  const flow = await postern.flow(`verdict=DROPPED&port=${redisPort}&direction=EGRESS`, () => true);
  assert.is(flow.source.workload, 'shop/web');
  assert.is((await curl('stranger.service')).stdout, 'welcome', 'who asks it is not touched');
});

function nginxConfig(): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(folder, 'temp')};`)
    .join('\n');
  return `user www-data;
worker_processes 1;
pid ${join(folder, 'pid')};
error_log stderr;
events {}
http {
  access_log off;
  ${temp}
  server {
    listen 127.0.0.1:${http};
    location / { return 200 welcome; }
  }
  server {
    listen 127.0.0.1:${proxy};
    location / { proxy_pass http://127.0.0.1:${redisPort}; }
  }
}
`;
}

test.run();
