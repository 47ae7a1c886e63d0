/** Two instances of one program that only their environment tells apart, named at exec; and labels that end with it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { start } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('environment');
let postern: Instance;

test.before(
  told(async () => {
    postern = await startInstance();
    for (const sid of ['PROD', 'TEST'])
      await postern.workload(`db/${sid.toLowerCase()}`, {
        labels: { app: 'oracle', sid: sid.toLowerCase() },
        match: { process: { exe: '/usr/bin/sleep', env: [`ORACLE_SID=${sid}`] } },
      });
    await postern.workload('db/starter', {
      labels: { app: 'starter' },
      inherit: 'none',
      match: { process: { exe: '/usr/bin/dash', env: ['ROLE=starter*'] } },
    });
  }),
);

test.after(() => postern?.destroy());

/** The workload of a process as its host reports it. */
async function workloadOf(pid: number): Promise<string | undefined> {
  const { body } = await postern.agent('/v1/endpoints');
  const endpoint = body.items.find((item: { processes: { pid: number }[] }) =>
    item.processes.some((p) => p.pid === pid),
  );
  return endpoint?.workload;
}

test('the variable decides in the kernel, wherever it stands in the environment', async () => {
  const children = ['PROD', 'TEST', 'PRODUCT'].map((sid) =>
    start(
      [
        'env',
        ...Array.from({ length: 60 }, (_, i) => `FILL_${i}=${'x'.repeat(300)}`),
        `ORACLE_SID=${sid}`,
        'sleep',
        '60',
      ],
      {
        cgroup: postern.makeCgroup('oracle'),
      },
    ),
  );
  const [prod, testing, product] = children;
  await until('PROD is named', async () => (await workloadOf(prod!.pid!)) === 'db/prod');
  await until('TEST is named', async () => (await workloadOf(testing!.pid!)) === 'db/test');
  assert.is(await workloadOf(product!.pid!), undefined, 'a whole element, not the beginning of one');
  const { body } = await postern.agent('/v1/endpoints');
  assert.ok(body.items.every((item: { why: { grade: string } }) => item.why.grade === 'firstPacket'));
  for (const child of children) child.kill('SIGKILL');
});

test('inherit: none names the process and not its children', async () => {
  const child = start(['env', 'ROLE=starter-1', 'dash', '-c', 'sleep 61 & echo $!; wait'], {
    cgroup: postern.makeCgroup('starter'),
  });
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  await until('it has a child', () => /\d+\n/.test(output));
  await until('the starter is named', async () => (await workloadOf(child.pid!)) === 'db/starter');
  assert.is(await workloadOf(Number(output)), undefined);
  process.kill(Number(output), 'SIGKILL');
  child.kill('SIGKILL');
});

test.run();
