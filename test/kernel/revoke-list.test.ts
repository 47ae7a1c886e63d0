/** Where the kernel has no bpf_sock_destroy (before 6.5), connections that lost their right are destroyed by sock_diag. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { BpfMap } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mapCodecs } from '../../src/datapath/maps.ts';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { app, cnp, only } from '../e2e/policies.ts';
import { serve, start } from '../e2e/run-in.ts';
import { freePort, told, until } from '../e2e/wait.ts';

const test = suite('revocation by list');
let postern: Instance;
let redis: ChildProcess;
let port: number;

test.before(
  told(async () => {
    postern = await startInstance();
    port = await freePort();
    for (const name of ['frontend', 'stranger', 'backend'])
      await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
    redis = await serve(['redis-server', '--port', String(port), '--save', ''], /Ready to accept/, {
      cgroup: postern.makeCgroup('backend.service'),
    });
    const config = BpfMap.openPinned(join(postern.pinDir, 'maps/config'), mapCodecs.config);
    config.set(0, { ...config.get(0)!, revoke_by_list: 1 });
    config.close();
  }),
);

test.after(async () => {
  redis?.kill('SIGKILL');
  await postern?.destroy();
});

/** An open connection; `pong` asks over it and counts the answers. */
function hold(unit: string) {
  const client = start(['redis-cli', '-p', String(port)], { cgroup: postern.makeCgroup(unit) });
  let output = '';
  for (const stream of [client.stdout!, client.stderr!])
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  const ask = () => client.stdin!.write('PING\n');
  return { client, ask, output: () => output };
}

test('the connection that lost its right ends, the other goes on', async () => {
  const kept = hold('frontend.service');
  const cut = hold('stranger.service');
  for (const held of [kept, cut]) {
    held.ask();
    await until('the connection is open', () => held.output().includes('PONG'));
  }
  await only(postern, cnp('backend', { ingress: [{ fromEndpoints: [app('frontend')] }] }));
  cut.ask();
  await until('the stranger is cut off', () => /not permitted|closed|abort|reset/i.test(cut.output()));
  kept.ask();
  await until('the frontend is answered again', () => kept.output().split('PONG').length === 3);
  assert.not.match(kept.output(), /closed|abort|reset/i);
  kept.client.kill();
  cut.client.kill();
});

test.run();
