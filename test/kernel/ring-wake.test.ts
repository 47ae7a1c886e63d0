/** When the ring of events wakes its reader: it interrupts the CPU that wrote the event, so not for each. */
import { readFileSync } from 'node:fs';
import { RingBuffer } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readCounters } from '../../src/datapath/counters.ts';
import { run } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';
import { DENIED, type Lab, openLab } from './lab.ts';

const test = suite('the ring wakes its reader');
let lab: Lab;

test.before(async () => {
  lab = await openLab();
  lab.enforce();
});

test.after(() => lab.destroy());

/** Each datagram is refused, which is one event of 136 bytes in the ring. */
async function refuse(count: number): Promise<void> {
  const send = `
    use IO::Socket::INET;
    my $s = IO::Socket::INET->new(Proto => 'udp');
    my $to = pack_sockaddr_in(9, inet_aton('${DENIED[4]}'));
    $s->send('x', 0, $to) for 1 .. ${count};`;
  const before = readCounters(lab.kernel.maps).event;
  await run(['perl', '-e', send], { cgroup: lab.den, netns: lab.home.path });
  assert.ok(readCounters(lab.kernel.maps).event - before >= count);
}

/** Of all CPUs since the start of the machine: a wake-up of a ring is one. */
function workInterrupts(): number {
  const line = /^.*IRQ work interrupts/m.exec(readFileSync('/proc/interrupts', 'utf8'))?.[0];
  if (line === undefined) throw new Error('/proc/interrupts names no "IRQ work interrupts"');
  return line
    .split(/\s+/)
    .filter((word) => /^\d+$/.test(word))
    .reduce((sum, count) => sum + Number(count), 0);
}

test('a ring that nobody reads interrupts for a few of its events only', async () => {
  await refuse(3_000); // past 256 kB, from where it wakes
  const before = workInterrupts();
  await refuse(20_000);
  const interrupts = workInterrupts() - before;
  assert.ok(interrupts < 10_000, `${interrupts} interrupts for 20000 events`);
});

test('a ring that fills wakes a reader that has no timer', async () => {
  let read = 0;
  const ring = new RingBuffer(lab.kernel.events, () => {
    read++;
  });
  try {
    ring.consume();
    ring.start();
    read = 0;
    await refuse(5_000);
    await until('the reader was woken', () => read > 0);
  } finally {
    ring.close();
  }
});

test.run();
