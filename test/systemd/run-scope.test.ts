// @timeout 200
/** The scope that `postern run` asks of systemd, on a real one: by the agent as its unit confines it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { scopeCall } from '../../src/agent/run-cgroup.ts';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { debianTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';

const test = suite('scopes of postern run');
const tree = debianTree();
const NAME = 'postern-run-shop-batch-1234.scope';
let postern: Instance;
let machine: Machine;

/** What confines the agent on a host: of systemd/postern-agent.service. */
function confinement(): string {
  const unit = readFileSync(join(import.meta.dirname, '../../systemd/postern-agent.service'), 'utf8');
  const wanted =
    /^(CapabilityBoundingSet|NoNewPrivileges|ProtectSystem|ProtectControlGroups|RestrictAddressFamilies|PrivateDevices|SystemCallFilter|RestrictNamespaces|ReadOnlyPaths|ReadOnlyPaths)=.*$|^ReadWritePaths=.proc.*$/gm;
  return [...unit.matchAll(wanted)].map(([line]) => `-p '${line}'`).join(' ');
}

const NEEDS = 'a confined agent gets a scope of its own for a process, and systemd removes it with the last process';
if ('missing' in tree) skip(test, NEEDS, tree.missing);
else {
  test.before(
    told(async () => {
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
    }),
  );
  test.after(async () => {
    await machine?.halt();
    await postern?.destroy();
  });

  test(NEEDS, async () => {
    const pid = Number(await machine.must('setsid sleep 1000 > /dev/null 2>&1 & echo $!'));
    const call = scopeCall(NAME, 'shop/batch', pid)
      .map((word) => `'${word}'`)
      .join(' ');
    await machine.must(`systemd-run --quiet --wait --pipe ${confinement()} busctl ${call}`);
    await until('the process is in its scope', async () => {
      const cgroup = await machine.must(`sed -n 's/^0:://p' /proc/${pid}/cgroup`);
      return cgroup.trim().endsWith(`/postern.slice/${NAME}`);
    });
    const shown = await machine.must(`systemctl show -p ActiveState -p Description --value ${NAME}`);
    assert.is(shown, 'postern run --workload shop/batch\nactive\n');
    await machine.must(`kill -9 ${pid}`);
    await until('systemd has forgotten the scope', async () => {
      const state = await machine.must(`systemctl show -p LoadState --value ${NAME}`);
      return state.trim() === 'not-found';
    });
  });

  test('a confined agent keeps ports out of the ephemeral range of another network namespace', async () => {
    const pid = Number(await machine.must('setsid unshare --net sleep 1000 > /dev/null 2>&1 & echo $!'));
    const there = `nsenter --net=/proc/${pid}/ns/net --`;
    const sysctl = '/proc/sys/net/ipv4/ip_local_reserved_ports';
    await until('the namespace is there', async () => {
      const links = await machine.must(`readlink /proc/1/ns/net /proc/${pid}/ns/net`);
      return new Set(links.trim().split('\n')).size === 2;
    });
    await machine.must(`systemd-run --quiet --wait --pipe ${confinement()} ${there} sh -c 'echo 40000 > ${sysctl}'`);
    assert.is((await machine.must(`${there} cat ${sysctl}`)).trim(), '40000');
    await machine.must(`kill -9 ${pid}`);
  });
}

test.run();
