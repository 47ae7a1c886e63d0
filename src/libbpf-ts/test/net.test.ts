import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addressBytes } from '../src/net/address.ts';
import { inetDiag, inetDiagUid, sdNotify, sockDestroy, socketCookie, unixPeerCred } from '../src/net/index.ts';

const fdOf = (socket: Socket | Server): number => (socket as unknown as { _handle: { fd: number } })._handle.fd;
const uid = process.getuid?.();

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A connection to a server at `host`, as [client, server side]. */
async function pair(host: string, run: (client: Socket, server: Socket) => void | Promise<void>): Promise<void> {
  const server = createServer().listen(0, host);
  await new Promise((resolve) => server.once('listening', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: host === '::' ? '127.0.0.1' : host, port });
  await new Promise((resolve) => client.once('connect', resolve));
  const peer = await accepted;
  try {
    await run(client, peer);
  } finally {
    client.destroy();
    peer.destroy();
    server.close();
  }
}

function ends(socket: Socket) {
  return {
    protocol: 'tcp' as const,
    local: { address: socket.localAddress ?? '', port: socket.localPort ?? 0 },
    remote: { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 },
  };
}

test('addresses become network-order bytes', () => {
  const rows = [
    ['192.0.2.1', false, 'c0000201'],
    ['192.0.2.1', true, '00000000000000000000ffffc0000201'],
    ['::', true, '0'.repeat(32)],
    ['::1', true, `${'0'.repeat(31)}1`],
    ['2001:db8::ff:1', true, '20010db80000000000000000' + '00ff0001'],
    ['fe80::1%eth0', true, 'fe800000000000000000000000000001'],
    ['::ffff:1.2.3.4', true, '00000000000000000000ffff01020304'],
    ['1:2:3:4:5:6:7:8', true, '00010002000300040005000600070008'],
  ] as const;
  for (const [address, v6, bytes] of rows) assert.is(text(addressBytes(address, v6)), bytes, address);
  assert.throws(() => addressBytes('::1', false), /"::1" is not an IPv4 address/);
  assert.throws(() => addressBytes('host', true), /"host" is not an IP address/);
});
for (const host of ['127.0.0.1', '::1', '::'])
  test(`finds the owner of both ends of a connection at ${host}`, () =>
    pair(host, (client, peer) => {
      for (const socket of [client, peer]) {
        const inode = Number(/\d+/.exec(readlinkSync(`/proc/self/fd/${fdOf(socket)}`))?.[0]);
        assert.equal(inetDiag(ends(socket)), { uid, inode, cookie: socketCookie(fdOf(socket)) });
        assert.is(inetDiagUid(ends(socket)), uid);
      }
    }));
test('no such socket is undefined, not an error', () => {
  const nowhere = { address: '127.0.0.1', port: 1 };
  assert.is(inetDiagUid({ protocol: 'tcp', local: nowhere, remote: nowhere }), undefined);
});
test('a listening socket is not taken for a connection of its port', () =>
  pair('127.0.0.1', (_, peer) => {
    const { protocol, local, remote } = ends(peer);
    assert.is(inetDiagUid({ protocol, local, remote: { ...remote, port: 1 } }), undefined);
    assert.is(inetDiagUid({ protocol, local, remote: { address: '0.0.0.0', port: 0 } }), uid);
    assert.is(sockDestroy({ protocol, local, remote: { ...remote, port: 1 } }), false);
  }));
test('a socket that no process holds has no owner', () =>
  pair('127.0.0.1', async (client, peer) => {
    const here = ends(client);
    peer.pause();
    client.destroy();
    await new Promise((resolve) => client.once('close', resolve));
    assert.is(inetDiagUid(here), undefined);
  }));
test('names the peer of a unix socket', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  const path = join(directory, 'socket');
  const server = createServer().listen(path);
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = connect(path);
  const peer = await accepted;
  assert.equal(unixPeerCred(fdOf(peer)), { pid: process.pid, uid, gid: process.getgid?.() });
  assert.throws(() => unixPeerCred(1_000_000), /read peer of socket fd 1000000: EBADF/);
  client.destroy();
  peer.destroy();
  server.close();
  rmSync(directory, { recursive: true });
});
test('tells systemd, at a path and in the abstract namespace', () => {
  const directory = mkdtempSync(join(tmpdir(), 'libbpf-ts-'));
  const libc = koffi.load('libc.so.6');
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
  const recv = libc.func('int64_t recv(int fd, void *bytes, size_t length, int flags)');
  const close = libc.func('int close(int fd)');
  for (const path of [join(directory, 'notify'), `@libbpf-ts-${process.pid}`]) {
    const fd = socket(1, 2, 0);
    const address = Buffer.concat([
      Buffer.from([1, 0]),
      Buffer.from(path.replace('@', '\0')),
      Buffer.from(path.startsWith('@') ? '' : '\0'),
    ]);
    assert.is(bind(fd, address, address.length), 0);
    assert.ok(sdNotify('READY=1\nSTATUS=serving', path));
    const bytes = Buffer.alloc(100);
    assert.is(bytes.toString('utf8', 0, recv(fd, bytes, 100, 0)), 'READY=1\nSTATUS=serving');
    close(fd);
  }
  rmSync(directory, { recursive: true });
});
test('a cookie is one socket', () =>
  pair('127.0.0.1', (client, peer) => {
    assert.ok(socketCookie(fdOf(client)) > 0);
    assert.is(socketCookie(fdOf(client)), socketCookie(fdOf(client)));
    assert.is.not(socketCookie(fdOf(client)), socketCookie(fdOf(peer)));
    assert.throws(() => socketCookie(-1), /read cookie of socket fd -1: EBADF/);
  }));
test('without systemd nothing is sent', () => {
  assert.is(sdNotify('READY=1', ''), false);
  assert.throws(() => sdNotify('READY=1', '/nonexistent/notify'), /notify systemd at "\/nonexistent\/notify": ENOENT/);
});
if (uid === 0)
  test('a destroyed connection ends at both sides', () =>
    pair('127.0.0.1', async (client, peer) => {
      const codes = [client, peer].map(
        (socket) =>
          new Promise((resolve) => socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))),
      );
      const [here, there] = [ends(client), ends(peer)];
      assert.is(sockDestroy(here), true);
      assert.equal(await Promise.all(codes), ['ECONNABORTED', 'ECONNRESET']);
      assert.is(sockDestroy(there), false);
    }));
else console.log('SKIP a destroyed connection ends at both sides: root: SOCK_DESTROY needs CAP_NET_ADMIN');

test.run();
