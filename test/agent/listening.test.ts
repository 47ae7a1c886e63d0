import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseSockets, scanListening } from '../../src/agent/listening.ts';
import { readProcess, scanProcesses } from '../../src/agent/process-scan.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { skip } from '../skip.ts';
import { isRoot, LISTENER, RealHost } from './real.ts';

const test = suite('listening sockets');
const users = createUserNames();
const host = new RealHost();
test.after(() => host.close());

for (const address of ['127.0.0.1', '::1', '0.0.0.0', '::']) {
  test(`a TCP listener on ${address} is found with its owner`, async () => {
    const server = createServer().listen(0, address);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const found = scanListening([readProcess(process.pid, users)!]).sockets.find((socket) => socket.port === port);
    assert.equal(found && [found.protocol, found.address, found.pids], [6, address, [process.pid]]);
    server.close();
  });
}

test('a bound UDP socket is found, a connected one is not', async () => {
  const bound = createSocket('udp4').bind(0, '127.0.0.1');
  await once(bound, 'listening');
  const connected = createSocket('udp4');
  connected.connect(bound.address().port, '127.0.0.1');
  await once(connected, 'connect');
  const ports = scanListening([readProcess(process.pid, users)!])
    .sockets.filter(({ protocol }) => protocol === 17)
    .map(({ port }) => port);
  assert.ok(ports.includes(bound.address().port));
  assert.not.ok(ports.includes(connected.address().port));
  bound.close();
  connected.close();
});

test('a socket that a child inherited has two owners', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { pid } = await host.start('/bin/sh', ['-c', 'echo up; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'inherit', (server as unknown as { _handle: { fd: number } })._handle.fd],
  });
  const processes = [readProcess(process.pid, users)!, readProcess(pid, users)!];
  const found = scanListening(processes).sockets.find((socket) => socket.port === port);
  assert.equal(
    found?.pids,
    [process.pid, pid].sort((a, b) => a - b),
  );
  server.close();
});

if (isRoot) {
  test('a listener in another network namespace is found', async () => {
    const script = host.file('listener.mjs', LISTENER);
    const { pid, line } = await host.start('unshare', ['--net', process.execPath, script], {
      env: { ADDRESS: '0.0.0.0' },
    });
    const found = scanListening(scanProcesses(users)).sockets.find(
      ({ port, pids }) => port === Number(line) && pids.includes(pid),
    );
    assert.is(found?.netns, readProcess(pid, users)!.netns);
    assert.is.not(found?.netns, readProcess(process.pid, users)!.netns);
  });
} else {
  skip(test, 'a listener in another network namespace is found', 'root: makes a network namespace');
}

test('the limit of descriptors is told', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = [readProcess(process.pid, users)!];
  assert.is(scanListening(own, 1).isCut, true);
  assert.is(scanListening(own).isCut, false);
  server.close();
});

test('lines of /proc/net are read as the kernel writes them', () => {
  const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
  const line = (local: string, state: string, inode: number) =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0\n`;
  assert.equal(parseSockets(head + line('0100007F:1F90', '0A', 7) + line('0100007F:1F91', '01', 8), 6), [
    { address: '127.0.0.1', port: 8080, inode: 7 },
  ]);
  assert.equal(parseSockets(head + line('0000000000000000FFFF00000100007F:0035', '07', 9), 17), [
    { address: '127.0.0.1', port: 53, inode: 9 },
  ]);
  assert.equal(parseSockets(head + line('B80D0120000000000000000001000000:0016', '0A', 9), 6), [
    { address: '2001:db8::1', port: 22, inode: 9 },
  ]);
});

test.run();
