/** What connect() and sendto() of a denied workload meet on this kernel, as policy has it, and that no packet of theirs leaves. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PortTable } from '../../src/core/compile.ts';
import { DENIALS } from '../../src/core/denial.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { run } from '../e2e/run-in.ts';
import { told } from '../e2e/wait.ts';
import { DEN, DENIED, type Lab, openLab } from './lab.ts';

const test = suite('denial');
let lab: Lab;
let applier: PolicyApplier;

test.before(
  told(async () => {
    lab = await openLab();
    applier = new PolicyApplier(lab.kernel.maps, new RuleTable());
  }),
);

test.after(async () => {
  await lab?.destroy();
});

/** Prints what each of TCP and UDP, connected or not, met; silence is what lasts half a second. */
const CLIENT = `
const { createSocket } = require('node:dgram');
const { connect } = require('node:net');
const [, address, type] = process.argv;
const soon = (resolve) => setTimeout(() => resolve('silence'), 500);
const ask = (begin) => new Promise((resolve) => { soon(resolve); begin((error) => resolve(error?.code ?? 'sent')); });
const tcp = ask((end) => connect(9, address).on('connect', () => end()).on('error', end));
const udp = ask((end) => createSocket(type).on('error', end).send('TAG-lost', 9, address, end));
const connected = ask((end) => {
  const socket = createSocket(type).on('error', end);
  socket.connect(9, address, (error) => (error ? end(error) : socket.send('TAG-lost', end)));
});
Promise.all([tcp, udp, connected]).then((met) => { console.log(met.join(' ')); process.exit(0); });
`;

const MET = {
  eperm: 'EPERM EPERM EPERM',
  refused: 'ECONNREFUSED ECONNREFUSED ECONNREFUSED',
  timeout: 'silence sent sent',
};

for (const denial of DENIALS)
  for (const family of [4, 6] as const)
    test(`${denial}, IPv${family}`, async () => {
      const table: PortTable = {
        entries: [],
        fallback: { verdict: 'deny', rules: ['default deny of cnp/a/den'], denial },
      };
      const closed = { enforced: true, peers: new Map([[0, table]]) };
      const compiled = { id: DEN, ingress: { enforced: false, peers: new Map() }, egress: closed };
      applier.apply({ changed: new Map([[DEN, compiled]]), addresses: [] });
      let met = '';
      const frames = await lab.watch(async () => {
        const words = [process.execPath, '-e', CLIENT, DENIED[family], `udp${family}`];
        met = (await run(words, { netns: lab.home.path, cgroup: lab.den })).stdout.trim();
      });
      assert.is(met, MET[denial]);
      assert.equal(frames, []);
    });

test.run();
