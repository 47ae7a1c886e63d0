/** The kernel's own maps and code as a judge of connections: programs are loaded below private pins, and attached nowhere. */
import { randomBytes } from 'node:crypto';
import { PolicyCompiler } from '../core/compile.ts';
import { isOutside } from '../core/identity.ts';
import { portOf } from '../core/protocol.ts';
import type { Connection, SideVerdict, Verdict } from '../core/verdict.ts';
import type { World } from '../core/world.ts';
import { detachKernel, Kernel } from './kernel.ts';
import { PolicyApplier } from './policy-applier.ts';
import { probeVerdict } from './probe.ts';
import { RuleTable } from './rule-table.ts';

export interface PolicyEngine {
  readonly engine: (world: World) => (connection: Connection) => Verdict;
  /** Removes the pins; nothing is left. */
  close(): void;
}

/** @param object the compiled object @param bpffs a folder of a bpffs */
export function openPolicyEngine(object: string, bpffs = '/sys/fs/bpf'): PolicyEngine {
  const pinDir = `${bpffs}/postern-policy-test-${process.pid}-${randomBytes(3).toString('hex')}`;
  const kernel = open(object, pinDir);
  const rules = new RuleTable();
  const compiler = new PolicyCompiler();
  const applier = new PolicyApplier(kernel.maps, rules);
  return {
    engine: (world) => {
      const addresses = world.cidrs.map(({ prefix, id }) => ({ prefix, identity: id }));
      applier.apply({ changed: compiler.update(world), addresses });
      return (connection) => {
        const egress = side(kernel, rules, 'egress', connection);
        const ingress = side(kernel, rules, 'ingress', connection);
        const forwarded = egress.verdict === 'FORWARDED' && ingress.verdict === 'FORWARDED';
        return { verdict: forwarded ? 'FORWARDED' : 'DROPPED', egress, ingress };
      };
    },
    close: () => {
      kernel.close();
      detachKernel(pinDir);
    },
  };
}

function open(object: string, pinDir: string): Kernel {
  try {
    return new Kernel({ object, pinDir, cgroupRoot: '/' });
  } catch (error) {
    detachKernel(pinDir);
    throw error;
  }
}

/** The kernel's answer in the oracle's words. Without a rule the kernel does not tell "allowed" from "not enforced". */
function side(kernel: Kernel, rules: RuleTable, direction: 'ingress' | 'egress', connection: Connection): SideVerdict {
  const { from, to, fromAddress, toAddress, protocol } = connection;
  const [local, remote, address] = direction === 'egress' ? [from, to, toAddress] : [to, from, fromAddress];
  const answer = probeVerdict(kernel, {
    local,
    remote: isOutside(remote) && address !== undefined ? address : remote,
    direction,
    protocol,
    port: portOf(protocol, connection.port) ?? 0,
  });
  const names = rules.names(answer.rule);
  if (answer.allow === 0) {
    const reason = answer.reason === 181 ? 'POLICY_DENY' : 'POLICY_DENIED';
    return { verdict: 'DROPPED', reason, rules: names };
  }
  return { verdict: 'FORWARDED', reason: names.length > 0 ? 'ALLOWED' : 'NOT_ENFORCED', rules: names };
}
