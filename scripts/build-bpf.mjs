// bpf/postern.bpf.c → build/postern.bpf.o → src/datapath/postern.skel.ts, only when a source or a command changed.
// `node scripts/build-bpf.mjs` builds; the bootstrap calls `buildBpf`.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { pinnedNode } from './pinned-node.mjs';
import { runCommand } from './run-command.mjs';
import { step, Unmet } from './step.mjs';

/** Types of bpf/abi.h that no map names, and 64-bit fields that are hashes rather than counts. */
const TYPES =
  'flow_event,exec_event,exit_event,cgroup_event,listen_event,verdict_probe,revoked,counter,drop_reason,label_origin,flow_kind,flow_flag,event_type,proc_flag,launch_flag,exe_flag,interpreter,option_action';
const BIGINT = 'config.hash_key,exe_key.hash,clause.exe,clause.script';

const machines = {
  x64: { target: 'x86', multiarch: 'x86_64-linux-gnu' },
  arm64: { target: 'arm64', multiarch: 'aarch64-linux-gnu' },
};

/**
 * Compiles and generates what is not current. `dryRun` only asks: 'current' or 'stale'.
 * Current means: the same sources and the same commands as those that made the files that are there.
 */
export function buildBpf(root, { dryRun = false } = {}) {
  const source = join(root, 'bpf', 'postern.bpf.c');
  if (!existsSync(source)) return dryRun ? 'current' : 'no bpf/postern.bpf.c: nothing to build';
  const object = join(root, 'build', 'postern.bpf.o');
  const skeleton = join(root, 'src', 'datapath', 'postern.skel.ts');
  const generator = join(root, 'src', 'libbpf-ts', 'src', 'cli.ts');
  const stamp = `${object}.sha256`;
  const compile = compileArguments(root, source);
  const hash = sourceHash(root, compile);
  const current = existsSync(object) && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === hash;
  const generated = existsSync(skeleton) || !existsSync(generator);
  if (dryRun) return current && generated ? 'current' : 'stale';
  if (current && generated) return 'current';

  mkdirSync(dirname(object), { recursive: true });
  const fresh = `${object}.${process.pid}`;
  runCommand('clang', [...compile, '-o', fresh], { cwd: root });
  renameSync(fresh, object);
  if (existsSync(generator)) generateSkeleton(root, generator, object, skeleton);
  writeFileSync(stamp, `${hash}\n`);
  return `built ${object.slice(root.length + 1)}`;
}

function compileArguments(root, source) {
  const machine = machines[process.arch];
  if (!machine) throw new Unmet(`no BPF target for ${process.arch}: x64 and arm64 are supported`);
  return [
    ...['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Werror', `-D__TARGET_ARCH_${machine.target}`],
    ...['-I', 'bpf', '-I', `/usr/include/${machine.multiarch}`, `-fdebug-prefix-map=${root}=.`],
    ...['-c', source.slice(root.length + 1)],
  ];
}

/** The skeleton is written whole or not at all, and not touched when nothing in it changed. */
function generateSkeleton(root, generator, object, skeleton) {
  const text = runCommand(pinnedNode(root), [generator, 'gen', object, '--types', TYPES, '--bigint', BIGINT], {
    cwd: root,
  });
  if (existsSync(skeleton) && readFileSync(skeleton, 'utf8') === text) return;
  mkdirSync(dirname(skeleton), { recursive: true });
  writeFileSync(`${skeleton}.${process.pid}`, text);
  renameSync(`${skeleton}.${process.pid}`, skeleton);
}

/** Of all that the object and the skeleton are made from: commands, C sources, the generator. */
function sourceHash(root, compile) {
  const hash = createHash('sha256').update(compile.filter((word) => !word.includes(root)).join('\0'));
  const sources = [
    ...filesBelow(root, 'bpf').filter((path) => /\.[ch]$/.test(path)),
    ...filesBelow(root, 'src/libbpf-ts/src').filter((path) => /\/(btf\/.*|cli)\.ts$/.test(path)),
  ];
  for (const path of sources) hash.update(`\0${path}\0`).update(readFileSync(join(root, path)));
  return hash.digest('hex');
}

function filesBelow(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .sort();
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  await step('bpf object', () => buildBpf(root)).catch(() => process.exit(1));
}
