// @timeout 300
// The same claims on a PostgreSQL that the server did not start: Debian's, through DATABASE_URL.
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { skip } from '../skip.ts';
import { call, eventually, openLines, startTestServer, type TestServer, temporaryDir, workload } from './harness.ts';
import { SCENARIO } from './scenario.ts';

const test = suite("rest, on Debian's PostgreSQL");
const bin = ['17', '16', '15', '14'].map((major) => `/usr/lib/postgresql/${major}/bin`).find((dir) => existsSync(dir));

if (bin === undefined) {
  skip(
    test,
    'the same claims hold on a PostgreSQL of the distribution',
    'package: postgresql (14 or newer) is not installed',
  );
} else {
  const dir = temporaryDir();
  const runAs = process.geteuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const data = path.join(dir, 'data');
  const url = `postgres://postern@${encodeURIComponent(data)}/postgres`;
  let postgres: ReturnType<typeof spawn>;
  let server: TestServer;

  test.before(async () => {
    mkdirSync(data, { mode: 0o700 });
    if (runAs.uid !== undefined) chownSync(data, runAs.uid, runAs.gid);
    const options = { ...runAs, cwd: '/', env: { LANG: 'C', PATH: process.env.PATH } };
    execFileSync(`${bin}/initdb`, ['-D', data, '-U', 'postern', '--auth=trust', '-E', 'UTF8', '--no-locale'], {
      ...options,
      stdio: 'ignore',
    });
    postgres = spawn(`${bin}/postgres`, ['-D', data, '-k', data, '-c', 'listen_addresses='], {
      ...options,
      stdio: 'ignore',
    });
    await eventually(async () => {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.end();
        return true;
      } catch {
        return false;
      }
    }, 'a PostgreSQL that answers');
    server = await startTestServer({ databaseUrl: url });
  });
  test.after(async () => {
    await server?.close();
    const exited = new Promise((resolve) => postgres.once('exit', resolve));
    postgres.kill('SIGINT');
    await exited;
    rmSync(dir, { recursive: true, force: true });
  });

  for (const [name, run] of SCENARIO) test(name, () => run(server));

  test('what one server writes, the other shows and streams; revisions of both are one row', async () => {
    const other = await startTestServer({ databaseUrl: url });
    const stream = await openLines(other, '/v1/agent/stream?host=h');
    await stream.until((line) => line.type === 'snapshot');
    const names = Array.from({ length: 20 }, (_, i) => `two-${i}`);
    const answers = await Promise.all(
      names.map((name, i) =>
        call(i % 2 ? server : other, 'PUT', `/v1/workloads/two/${name}`, { body: workload(name) }),
      ),
    );
    const revisions = answers.map(({ status, body, text }) => {
      assert.is(status, 201, text);
      return body.meta.revision as number;
    });
    assert.is(new Set(revisions).size, names.length);
    const last = Math.max(...revisions);
    await stream.until((line) => line.revision === last);
    const seen = stream.lines.filter((line) => line.type === 'delta').map((line) => line.revision);
    assert.equal(
      seen,
      [...revisions].sort((a, b) => a - b),
    );
    const identities = answers.map(({ body }) => body.status.identity);
    assert.is(new Set(identities).size, names.length, 'no number twice');
    stream.close();
    await other.close();
  });
}

test('a database that cannot be reached is refused in words', async () => {
  let said = '';
  await startTestServer({ databaseUrl: 'postgres://nobody@127.0.0.1:1/none' }).then(
    (started) => started.close(),
    (error: Error) => {
      said = error.message;
    },
  );
  assert.match(said, /Cannot reach the database of DATABASE_URL.*127\.0\.0\.1:1/);
});

test.run();
