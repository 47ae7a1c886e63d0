// @timeout 300
import { execFileSync, fork } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sql } from '../../src/server/database.ts';
import { loadPostgresBinaries } from '../../src/server/postgres-package.ts';
import { call, eventually, startTestServer, type TestServer, temporaryDir, workload } from './harness.ts';

const test = suite('embedded PostgreSQL');
const isRoot = process.geteuid?.() === 0;
const dirs: string[] = [];

function newDir(): string {
  const dir = temporaryDir();
  dirs.push(dir);
  return dir;
}
test.after(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

async function register(server: TestServer, name: string): Promise<number> {
  const { status, body, text } = await call(server, 'PUT', `/v1/workloads/shop/${name}`, { body: workload(name) });
  assert.is(status, 201, text);
  return body.meta.revision;
}

async function refusal(options: Parameters<typeof startTestServer>[0]): Promise<string> {
  try {
    await (await startTestServer(options)).close();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it started');
}

test('it is durable, on a unix socket only, and not root', async () => {
  const dir = newDir();
  const server = await startTestServer({ dir });
  const settings = await server.context.store.db.query<{ name: string; setting: string }>(
    sql`select name, setting from pg_settings where name in ('fsync', 'listen_addresses', 'synchronous_commit')`,
  );
  assert.equal(Object.fromEntries(settings.map(({ name, setting }) => [name, setting])), {
    fsync: 'on',
    listen_addresses: '',
    synchronous_commit: 'on',
  });
  const status = readFileSync(`/proc/${server.databasePid}/status`, 'utf8');
  const uid = Number(/^Uid:\s+(\d+)/m.exec(status)![1]);
  assert.is(uid === 0, false);
  const data = statSync(path.join(dir, 'state/postgres/data'));
  assert.is(data.mode & 0o777, 0o700);
  assert.is(data.uid, uid);
  // Who may pass the folder is the whole access control of the database.
  assert.is(statSync(path.join(dir, 'run/pg')).mode & 0o777, 0o700);
  await server.close();
  assert.not(existsSync(path.join(dir, 'state/postgres/data/postmaster.pid')), 'a clean stop');
});

test('what was written is there after a restart, with the same control plane uid', async () => {
  const dir = newDir();
  let server = await startTestServer({ dir });
  const revision = await register(server, 'a');
  const { uid } = server.context.store.state;
  await server.close();
  server = await startTestServer({ dir });
  assert.is(server.context.store.state.uid, uid);
  assert.is(server.context.store.state.revision, revision);
  const { body } = await call(server, 'GET', '/v1/workloads/shop/a');
  assert.is(body.meta.revision, revision);
  const again = await call(server, 'PUT', '/v1/workloads/shop/a', { body: workload('a') });
  assert.is(again.body.meta.revision, revision, 'the same registration is no change');
  await server.close();
});

test('a second server on the same folder is refused, and the first goes on', async () => {
  const dir = newDir();
  const server = await startTestServer({ dir });
  assert.match(await refusal({ dir }), /Cannot use state folder .* already runs a server/);
  await register(server, 'a');
  await server.close();
});

test('who is still connected when it stops is no fault', async () => {
  const dir = newDir();
  const server = await startTestServer({ dir });
  const client = new pg.Client({ host: path.join(dir, 'run/pg'), user: 'postern', database: 'postgres' });
  const told = new Promise((resolve) => client.on('error', resolve));
  await client.connect();
  await server.close();
  await told;
  assert.equal(
    server.logged.filter((line) => /terminating|broke/.test(line)),
    [],
  );
});

test('when it dies it is started again; writes meanwhile get 503, and nothing is lost', async () => {
  const server = await startTestServer({ dir: newDir() });
  await register(server, 'before');
  const pid = server.databasePid!;
  process.kill(pid, 'SIGKILL');
  await eventually(() => server.databasePid !== pid, 'a new postmaster');
  const statuses = new Set<number>();
  await eventually(async () => {
    const { status } = await call(server, 'PUT', '/v1/workloads/shop/after', { body: workload('after') });
    statuses.add(status);
    return status === 200 || status === 201;
  }, 'a write after the restart');
  assert.not(statuses.has(500));
  await eventually(async () => (await call(server, 'GET', '/readyz')).status === 200, 'ready');
  assert.is((await call(server, 'GET', '/v1/workloads/shop/before')).status, 200);
  assert.ok(server.logged.some((line) => /died \(SIGKILL\)/.test(line)));
  await server.close();
});

test('kill -9 of the database in the middle of writes keeps every acknowledged one', async () => {
  const dir = newDir();
  let server = await startTestServer({ dir });
  const acknowledged = new Map<string, number>();
  let stop = false;
  const writers = [0, 1, 2, 3].map(async (writer) => {
    for (let i = 0; !stop; i++) {
      const name = `w${writer}-${i}`;
      const { status, body } = await call(server, 'PUT', `/v1/workloads/shop/${name}`, { body: workload(name) });
      if (status === 201) acknowledged.set(name, body.meta.revision);
      else assert.is(status, 503);
    }
  });
  for (let round = 1; round <= 3; round++) {
    const before = acknowledged.size;
    await eventually(() => acknowledged.size >= before + 20, 'writes');
    const pid = server.databasePid!;
    process.kill(pid, 'SIGKILL');
    await eventually(() => server.databasePid !== pid, 'a new postmaster');
  }
  const before = acknowledged.size;
  await eventually(() => acknowledged.size > before, 'a write after the last crash');
  stop = true;
  await Promise.all(writers);
  await server.close();

  server = await startTestServer({ dir });
  const { workloads, revision } = server.context.store.state;
  for (const [name, written] of acknowledged) assert.is(workloads.get(`shop/${name}`)?.meta.revision, written, name);
  const revisions = [...workloads.values()].map(({ meta }) => meta.revision);
  assert.is(new Set(revisions).size, revisions.length, 'no revision twice');
  assert.ok(Math.max(...revisions) <= revision);
  await server.close();
});

test('a server that was killed leaves a database that the next one takes over', async () => {
  const dir = newDir();
  const child = fork(path.join(import.meta.dirname, 'killed-server.ts'), [dir], { stdio: 'ignore' });
  const pid = await new Promise<number>((resolve) => child.once('message', (message) => resolve(Number(message))));
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.ok(existsSync(`/proc/${pid}`), 'the database outlived its server');
  const server = await startTestServer({ dir });
  assert.is.not(server.databasePid, pid);
  await register(server, 'a');
  await server.close();
});

test('a postmaster.pid of a process that is none is no obstacle', async () => {
  const dir = newDir();
  await (await startTestServer({ dir })).close();
  const file = path.join(dir, 'state/postgres/data/postmaster.pid');
  // A living process that is not PostgreSQL: pids are reused.
  writeFileSync(file, `${process.pid}\n${path.dirname(file)}\n1\n5432\n\n\n`, { mode: 0o600 });
  const server = await startTestServer({ dir });
  await register(server, 'a');
  await server.close();
});

test('a data folder of another major version is refused in words', async () => {
  const dir = newDir();
  await (await startTestServer({ dir })).close();
  for (const major of ['19', '13']) {
    writeFileSync(path.join(dir, 'state/postgres/data/PG_VERSION'), `${major}\n`);
    assert.match(
      await refusal({ dir }),
      new RegExp(`made by PostgreSQL ${major}, this is PostgreSQL 18.*DATABASE_URL`),
    );
  }
});

test('an initialisation that was cut short is begun again', async () => {
  const dir = newDir();
  mkdirSync(path.join(dir, 'state/postgres/data.new/base'), { recursive: true });
  const server = await startTestServer({ dir });
  await register(server, 'a');
  await server.close();
});

test('a run folder whose name is too long for a socket is refused in words', async () => {
  const dir = newDir();
  assert.match(await refusal({ dir, runDir: path.join(dir, 'x'.repeat(100)) }), /longer than 107 bytes.*--run-dir/);
});

if (isRoot) {
  test('a state folder that the database cannot reach is refused in words', async () => {
    const dir = newDir();
    chmodSync(dir, 0o700);
    assert.match(await refusal({ dir }), /closed to uid \d+.*0711/);
  });

  test('binaries in a closed folder, or without their symlinks, are copied', async () => {
    const dir = newDir();
    const { postgres } = await loadPostgresBinaries(dir, undefined);
    const native = path.dirname(path.dirname(postgres));
    const closed = path.join(dir, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    execFileSync('cp', ['-a', native, closed]);
    const lib = path.join(closed, 'native/lib');
    for (const name of readdirSync(lib)) if (/^libicuuc\.so(\.60)?$/.test(name)) rmSync(path.join(lib, name));
    const binaries = await loadPostgresBinaries(dir, 60746, path.join(closed, 'native'));
    assert.ok(binaries.postgres.startsWith(path.join(dir, 'postgres-')), binaries.postgres);
    const said = execFileSync(binaries.postgres, ['--version'], { uid: 60746, gid: 60746, cwd: '/' }).toString();
    assert.match(said, /PostgreSQL\) 18/);
  });
}

test.run();
