/** Which workload a process is: by cgroup, unit, executable, user, arguments, port; and what changes it, which is little. */
import type { ChildProcess } from 'node:child_process';
import { chownSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only } from './policies.ts';
import { type RunOptions, run, serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('identity');
const NOBODY = 65534;
let postern: Instance;
let server: ChildProcess;
let port: number;

const cgroup = (name: string): RunOptions => ({ cgroup: postern.makeCgroup(name) });
const connect = (): string => `exec 3<>/dev/tcp/127.0.0.1/${port}`;
/** Says its pid, then connects; the words after the script are arguments of bash. */
const client = (before: string, ...words: string[]): string[] => [
  'bash',
  '-c',
  `${before} echo $$; ${connect()}`,
  ...words,
];

/** The workload that the kernel saw when this program connected. */
async function named(argv: readonly string[], options: RunOptions): Promise<string | undefined> {
  const { stdout, stderr } = await run(argv, options);
  assert.match(stdout, /^\d+\n/, stderr);
  const pid = Number(stdout);
  const flow = await postern.flow(`event=connect&process=${pid}`, (one) => one.source.process?.pid === pid);
  return flow.source.workload;
}

async function endpoint(workload: string, wanted: (found: any) => boolean = () => true): Promise<any> {
  let found: any;
  await until(`an endpoint of ${workload} ${wanted}`, async () => {
    const { body } = await postern.api('GET', '/v1/endpoints');
    found = body.items.find((one: any) => one.workload === workload && wanted(one));
    return found !== undefined;
  });
  return found;
}

const register = (name: string, match: unknown) => postern.workload(`shop/${name}`, { labels: { app: name }, match });
const bash = (...args: string[]) => ({ exe: '/usr/bin/bash', args });

test.before(
  told(async () => {
    postern = await startInstance();
    port = await freePort();
    server = await serve(
      [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${port}`],
      /ready/,
      cgroup('echo'),
    );
  }),
);

test.after(async () => {
  server?.kill('SIGKILL');
  await postern?.destroy();
});

test('a cgroup names what is in it and below it, exactly or by a glob', async () => {
  const here = `/${postern.cgroupPath}`;
  await register('exact', { cgroup: `${here}/exact` });
  await register('globbed', { cgroup: `${here}/glob-*` });
  assert.is(await named(client(''), cgroup('exact')), 'shop/exact');
  assert.is(await named(client(''), cgroup('exact/below/deep')), 'shop/exact');
  assert.is(await named(client(''), cgroup('exactly')), undefined);
  assert.is(await named(client(''), cgroup('glob-1')), 'shop/globbed');
  assert.is(await named(client(''), cgroup('glob-2/below')), 'shop/globbed');
  assert.is(await named(client(''), cgroup('glob')), undefined);
});

test('a unit glob names each instance, and a cgroup made before the registration too', async () => {
  postern.makeCgroup('orders@old.service');
  await register('orders', { systemdUnit: 'orders@*.service' });
  for (const unit of ['orders@old.service', 'orders@1.service', 'system.slice/orders@2.service'])
    assert.is(await named(client(''), cgroup(unit)), 'shop/orders', unit);
  assert.is(await named(client(''), cgroup('orders.service')), undefined);
  assert.is(
    await named(client(''), cgroup('x.service/orders@3.service')),
    undefined,
    'a unit inside of a unit is none',
  );
});

test('one executable is two workloads in two cgroups', async () => {
  await register('blue', { systemdUnit: 'blue.service', process: { exe: '/usr/bin/bash' } });
  await register('green', { systemdUnit: 'green.service', process: { exe: '/usr/bin/bash' } });
  assert.is(await named(client(''), cgroup('blue.service')), 'shop/blue');
  assert.is(await named(client(''), cgroup('green.service')), 'shop/green');
});

test('executable, user and arguments must all hold; an argument is whole or a prefix', async () => {
  await register('whole', { process: bash('--whole') });
  await register('prefix', { process: bash('--prefix=*') });
  await register('nobody', { process: { ...bash('--user'), user: 'nobody' } });
  const plain = cgroup('plain');
  assert.is(await named(client('', 'x', '--whole'), plain), 'shop/whole');
  assert.is(await named(client('', 'x', '--whole2'), plain), undefined);
  assert.is(await named(client('', 'x', '--prefix=1'), plain), 'shop/prefix');
  assert.is(await named(client('', 'x', '--prefix'), plain), undefined);
  assert.is(await named(client('', 'x', '--user'), plain), undefined);
  assert.is(await named(client('', 'x', '--user'), { ...plain, uid: NOBODY }), 'shop/nobody');
  const perl = `use Socket; $|=1; print "$$\\n"; socket(S, PF_INET, SOCK_STREAM, 0); connect(S, sockaddr_in(${port}, INADDR_LOOPBACK)) or die $!`;
  assert.is(await named(['perl', '-e', perl, '--', '--whole'], plain), undefined, 'another executable');
});

test('the label is there before the first socket: of 200 programs that connect at once none is missed', async () => {
  await register('quick', { process: bash('--quick') });
  await register('echo', { systemdUnit: 'none.service', process: { exe: '/usr/bin/bash' } });
  const loop = `n=0; for i in $(seq 200); do bash -c '${connect()}' x --quick 2>/dev/null && n=$((n+1)); done; echo $n`;
  const rounds = async () => (await run(['bash', '-c', loop], { ...cgroup('plain'), limitMs: 60_000 })).stdout;
  assert.is(await rounds(), '200\n');
  await only(postern, cnp('quick', { egress: [{ toEndpoints: [app('nobody')] }] }));
  assert.is(await rounds(), '0\n');
  await only(postern);
});

test('children inherit, also those that outlive their parent, and an exec of another program keeps the label', async () => {
  await register('parent', { process: bash('--parent') });
  const child = `bash -c 'echo $$; ${connect()}'`;
  const words = (script: string): string[] => ['bash', '-c', script, 'x', '--parent'];
  assert.is(await named(words(`${child}; true`), cgroup('plain')), 'shop/parent');
  assert.is(
    await named(words(`(while kill -0 $$ 2>/dev/null; do :; done; exec ${child}) & exit 0`), cgroup('plain')),
    'shop/parent',
  );
  const exec = [
    'bash',
    '-c',
    `echo $$; exec curl -s --max-time 1 telnet://127.0.0.1:${port} < /dev/null`,
    'x',
    '--parent',
  ];
  assert.is(await named(exec, cgroup('plain')), 'shop/parent');
});

test('a process that runs already is named at the registration, and so is the next one', async () => {
  const words = ['bash', '-c', `echo $$; read line; ${connect()}`, 'x', '--running'];
  const before = start(words, cgroup('plain'));
  let said = '';
  before.stdout!.on('data', (text) => {
    said += text;
  });
  await until('it runs', () => said !== '');
  await register('running', { process: bash('--running') });
  before.stdin!.end('go\n');
  const pid = Number(said);
  const flow = await postern.flow(`event=connect&process=${pid}`, (one) => one.source.process?.pid === pid);
  assert.is(flow.source.workload, 'shop/running');
  assert.is(await named(client('', 'x', '--running'), cgroup('plain')), 'shop/running');
});

test('a labelled process does not lose its label by moving itself, as root or in a delegated cgroup', async () => {
  await register('mover', { cgroup: `/${postern.cgroupPath}/delegated/in` });
  const target = postern.makeCgroup('delegated/out');
  const place = cgroup('delegated/in');
  for (const folder of ['delegated', 'delegated/in', 'delegated/out'])
    chownSync(join(postern.cgroupDir, folder, 'cgroup.procs'), NOBODY, NOBODY);
  const move = `echo $$ > ${target}/cgroup.procs || exit 1;`;
  assert.is(await named(client(move), place), 'shop/mover', 'root');
  assert.is(await named(client(move), { ...place, uid: NOBODY }), 'shop/mover', 'delegated');
  const again = ['bash', '-c', `${move} exec bash -c 'echo $$; ${connect()}'`];
  assert.is(await named(again, place), 'shop/mover', 'also after a later exec');
  assert.is(await named(client(move), cgroup('delegated')), undefined, 'without a label there is none to keep');
});

test('a move by somebody who has no label re-decides', async () => {
  await register('placed', { systemdUnit: 'placed.service' });
  const to = postern.makeCgroup('placed.service');
  assert.is(await named(client(`echo $$ > ${to}/cgroup.procs;`), cgroup('plain')), 'shop/placed');
});

test('a gateway does not hand on the label that it gained itself', async () => {
  await register('gateway', { process: { exe: '/usr/bin/su' } });
  const su = ['su', '-s', '/bin/bash', 'nobody', '-c', `echo $$; ${connect()}`];
  assert.is(await named(su, cgroup('plain')), undefined);
});

test('a port names the socket that listens on it', async () => {
  const own = await freePort();
  await register('ported', { listen: [`${own}/tcp`] });
  const listener = await serve(
    [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${own}`],
    /ready/,
    cgroup('plain'),
  );
  try {
    await run(['bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${own}`], cgroup('plain'));
    const flow = await postern.flow(`event=connect&port=${own}`, () => true);
    assert.is(flow.destination.workload, 'shop/ported');
  } finally {
    listener.kill('SIGKILL');
  }
});

test('an endpoint says why: clause, origin, processes, and whom it beats', async () => {
  await register('broad', { process: bash('--why') });
  await register('narrow', [{ systemdUnit: 'elsewhere.service' }, { process: bash('--why', '--really') }]);
  const child = start(['bash', '-c', 'read line', 'x', '--why', '--really'], cgroup('plain'));
  const found = await endpoint('shop/narrow', ({ processes }) => processes.some((one: any) => one.pid === child.pid));
  assert.is(found.why.clause, 1);
  assert.is(found.why.origin, 'exec');
  assert.is(found.why.grade, 'firstPacket');
  assert.equal(
    found.why.beats.map((one: any) => one.workload),
    ['shop/broad'],
  );
  assert.is(found.host, 'host-a');
  assert.is(found.processes[0].exe, '/usr/bin/bash');
  assert.is(found.cgroup, `/${postern.cgroupPath}/plain`);
  assert.ok(found.labels.includes('user:app=narrow'));
  child.stdin!.end('\n');
  const unit = start(['sh', '-c', 'read line'], cgroup('orders@why.service'));
  const placed = await endpoint('shop/orders', ({ processes }) => processes.some((one: any) => one.pid === unit.pid));
  assert.is(placed.why.origin, 'cgroup');
  unit.stdin!.end('\n');
});

test('discover lists a service that nobody claims, and its curl registers it as printed', async () => {
  const own = await freePort();
  const words = ['redis-server', '--port', String(own), '--save', ''];
  const redis = await serve(words, /Ready to accept/, cgroup('unclaimed.service'));
  try {
    let found: any;
    await until('discover shows it', async () => {
      const { body } = await postern.api('GET', '/v1/discover');
      found = body.items.find((one: any) => one.listening.some((socket: any) => socket.port === own));
      return found !== undefined;
    });
    const { code, stdout, stderr } = await run(['sh', '-c', found.curl]);
    assert.is(code, 0, stderr);
    assert.match(stdout, new RegExp(`"name":"${found.suggested.name}"`), found.curl);
    const { namespace, name } = found.suggested;
    await endpoint(`${namespace}/${name}`, ({ listening }) => listening.some((one: any) => one.port === own));
    await until('it is no longer unclaimed', async () => {
      const { body } = await postern.api('GET', '/v1/discover');
      return !body.items.some((one: any) => one.listening.some((socket: any) => socket.port === own));
    });
  } finally {
    redis.kill('SIGKILL');
  }
});

test(
  'a listener that never bound has its label, and who connects is told so',
  told(async () => {
    await register('unbound', { cgroup: `/${postern.cgroupPath}/unbound` });
    const script =
      'socket(S,PF_INET,SOCK_STREAM,0); listen(S,5); ($p)=sockaddr_in(getsockname(S)); $|=1; print "ready $p\\n"; while(accept(C,S)){close C}';
    const perl = start(['perl', '-MSocket', '-e', script], cgroup('unbound'));
    try {
      const chosen = await new Promise<number>((resolve) =>
        perl.stdout!.on('data', (text) => resolve(Number(/ready (\d+)/.exec(String(text))?.[1]))),
      );
      await until('the connection is to the workload', async () => {
        await run(['bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${chosen}`], cgroup('asks'));
        const { body } = await postern.api('GET', `/v1/flows?event=connect&port=${chosen}`);
        return body.items.some(({ destination }: any) => destination.workload === 'shop/unbound');
      });
    } finally {
      perl.kill('SIGKILL');
    }
  }),
);

test.run();
