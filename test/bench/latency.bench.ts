/**
 * From PUT of a policy to its enforcement in the kernel, on a standalone instance with 1000 workloads and 1000 policies:
 * the moment before the request to the moment at which the identity's word in `ident_cfg` has another generation. Looked
 * at every millisecond; the answer of the server is not waited for.
 */
import { join } from 'node:path';
import { BpfMap } from 'libbpf-ts';
import { mapCodecs } from '../../src/datapath/maps.ts';
import { startInstance } from '../e2e/instance.ts';
import { until } from '../e2e/wait.ts';
import { report } from './row.ts';
import { policyDocument, workloadDocument } from './traffic-world.ts';

const SAMPLES = Number(process.env.POSTERN_BENCH_SAMPLES ?? 1000);
const SIZE = 1000;

const postern = await startInstance();
try {
  const documents = Array.from({ length: SIZE }, (_, i) => [
    workloadDocument(i, postern.cgroupPath),
    policyDocument(i),
  ]);
  const began = performance.now();
  await postern.apply(...documents.flat());
  console.log(`${documents.length} workloads and policies applied in ${Math.round(performance.now() - began)} ms`);
  const { body } = await postern.api('GET', '/v1/workloads/bench/app500');
  const identity = body.status.identity as number;
  const words = BpfMap.openPinned(join(postern.pinDir, 'maps/ident_cfg'), mapCodecs.ident_cfg);
  const generation = (): number => words.get(identity & 0xffff)?.cfg.gen ?? 0;
  await until('the workload is enforced', () => generation() > 0);
  const times: number[] = [];
  const answers: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    const before = generation();
    const start = performance.now();
    const answer = postern.api('PUT', '/v1/policies/cnp/bench/p500', policyDocument(500, [], 1000 + sample));
    answer.then(() => answers.push(performance.now() - start));
    while (generation() === before) {
      if (performance.now() - start > 10_000) throw new Error('not enforced in 10 s');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    times.push(performance.now() - start);
    const { status, body: problem } = await answer;
    if (status !== 200) throw new Error(JSON.stringify(problem));
  }
  words.close();
  answers.sort((a, b) => a - b);
  console.log(`the server answered after ${answers[answers.length >> 1]!.toFixed(1)} ms (p50)`);
  times.sort((a, b) => a - b);
  const at = (share: number): string => times[Math.floor(times.length * share)]!.toFixed(1);
  report({
    what: 'PUT of a policy to enforced, 1000 policies',
    measured: `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, worst ${times.at(-1)!.toFixed(1)} ms`,
    target: 'p99 < 50 ms',
    met: Number(at(0.99)) < 50,
  });
} finally {
  await postern.destroy();
}
