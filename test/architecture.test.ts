// What holds across files and no compiler checks: import arrows, what libraries may not do, lengths, licences, words.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = join(import.meta.dirname, '..');

/** An area of src/ → the areas it may import, and the packages. `main.ts` wires and is free. */
const arrows: Readonly<
  Record<string, { readonly areas: readonly string[]; readonly packages: readonly (string | RegExp)[] }>
> = {
  core: { areas: [], packages: [] },
  api: { areas: ['core'], packages: ['valibot', '@valibot/to-json-schema', 'yaml', /^node:/] },
  'libbpf-ts': { areas: [], packages: ['koffi', /^node:/] },
  datapath: { areas: ['core', 'libbpf-ts'], packages: [/^node:/] },
  // Who is at the other end of a socket (peer credentials, sock_diag) is asked through libbpf-ts/net.
  server: {
    areas: ['core', 'api', 'libbpf-ts'],
    packages: [/^(hono|@hono|drizzle-orm|pg|yaml|valibot|@valibot)(\/|$)/, /^node:/],
  },
  agent: {
    areas: ['core', 'api', 'datapath', 'libbpf-ts'],
    packages: [/^(hono|@hono|valibot|systeminformation|yaml)(\/|$)/, /^node:/],
  },
  cli: { areas: ['core', 'api'], packages: ['yaml', /^node:/] },
};
const libraries = ['core', 'api', 'libbpf-ts', 'datapath'];

const files = walk(root).map((path) => relative(root, path));
const sources = files.filter(
  (path) => /^src\/.*\.ts$/.test(path) && !path.endsWith('.skel.ts') && !path.endsWith('.d.ts'),
);
const code = sources.filter((path) => !path.includes('/test/') && !path.includes('/bench/'));
const tests = files.filter((path) => path.endsWith('.test.ts'));

test('imports go along the arrows only', () => {
  assert.equal(code.flatMap(wrongImports), []);
});

test('every area of src has its arrows written down', () => {
  const areas = new Set(code.map(areaOf).filter((area) => area !== ''));
  assert.equal([...areas].filter((area) => !(area in arrows)).sort(), []);
});

test('libraries never log', () => {
  const logging = code.filter((path) => libraries.includes(areaOf(path)) && !path.endsWith('/cli.ts'));
  assert.equal(codeLinesWith(logging, /\bconsole\.\w+\(|process\.std(out|err)\.write/), []);
});

test('core has no clock, no randomness, nothing asynchronous', () => {
  const core = code.filter((path) => areaOf(path) === 'core');
  const impure =
    /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.|\bsetTimeout\(|\bprocess\.(?:env|argv|hrtime|exit|cwd|platform|uptime|memoryUsage|stdout|stderr|nextTick)\b|\bglobalThis\.|\bcrypto\.|\basync\b|\bawait\b/;
  assert.equal(codeLinesWith(core, impure), []);
});

test('every test file runs its tests', () => {
  assert.equal(
    tests.filter((path) => !/^\w+\.run\(\);$/m.test(text(path))),
    [],
  );
});

test('no file of src is longer than 400 lines', () => {
  const long = sources
    .map((path) => ({ path, lines: text(path).split('\n').length }))
    .filter(({ lines }) => lines > 250);
  for (const { path, lines } of long) console.log(`long: ${path} ${lines} lines`);
  assert.equal(
    long.filter(({ lines }) => lines > 400),
    [],
  );
});

test('every BPF source says its licence first', () => {
  const missing = files.filter(
    (path) => /^bpf\/.*\.[ch]$/.test(path) && !/^(\/\/|\/\*) SPDX-License-Identifier: /.test(text(path)),
  );
  assert.equal(missing, []);
});

test('nothing names a machine, a registry host or an address of one', () => {
  // Written in pieces so that this file does not find itself.
  const forbidden = new RegExp(
    ['/' + 'work/', 'registry' + '\\.npmjs', 'registry' + '\\.yarnpkg', 'deb' + '\\.debian\\.org'].join('|'),
  );
  assert.equal(linesWith(files.filter(isText), forbidden), []);
});

test('the lock file names versions and hashes, not hosts', () => {
  const lock: { packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }> } = JSON.parse(
    text('package-lock.json'),
  );
  const packages = Object.entries(lock.packages).filter(
    ([path, entry]) => path.includes('node_modules/') && !entry.link,
  );
  assert.equal(
    packages.filter(([, entry]) => /^\w+:\/\//.test(entry.resolved ?? '')).map(([path]) => path),
    [],
  );
  assert.equal(
    packages.filter(([, entry]) => !entry.integrity).map(([path]) => path),
    [],
  );
});

test('each runtime dependency has its reason in docs/decisions.md', () => {
  const { dependencies, optionalDependencies } = JSON.parse(text('package.json'));
  const decisions = text('docs/decisions.md');
  const names = Object.keys({ ...dependencies, ...optionalDependencies }).map((name) =>
    name.replace(/-(x64|arm64)$/, ''),
  );
  assert.equal(
    names.filter((name) => !decisions.includes(`\`${name}`)),
    [],
  );
});

test.run();

function wrongImports(path: string): string[] {
  const area = areaOf(path);
  const arrow = arrows[area];
  if (!arrow) return [];
  return importsOf(text(path)).flatMap((name) => {
    const target = name.startsWith('.') ? areaOf(relative(root, join(root, dirname(path), name))) : workspaceOf(name);
    const allowed =
      target === undefined
        ? arrow.packages.some((one) => (one instanceof RegExp ? one.test(name) : one === name))
        : target === area || arrow.areas.includes(target);
    return allowed ? [] : [`${path} imports ${name}`];
  });
}

/** Module names of import and export declarations and of import(); types count too: an arrow is an arrow. */
function importsOf(source: string): string[] {
  const declarations =
    /^\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  return [...source.matchAll(declarations)].map((match) => match[1] ?? match[2] ?? '');
}

function areaOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? '';
}

/** libbpf-ts is an npm package for the others and an area of src/ all the same. */
function workspaceOf(name: string): string | undefined {
  return /^libbpf-ts(\/|$)/.test(name) ? 'libbpf-ts' : undefined;
}

function linesWith(paths: readonly string[], pattern: RegExp, ignored = /^$/): string[] {
  return paths.flatMap((path) =>
    text(path)
      .split('\n')
      .map((line, index) => ({ line: line.trim(), at: `${path}:${index + 1}` }))
      .filter(({ line }) => pattern.test(line) && !ignored.test(line))
      .map(({ line, at }) => `${at}: ${line}`),
  );
}

/** As `linesWith`, without the lines that are comment. */
function codeLinesWith(paths: readonly string[], pattern: RegExp): string[] {
  return linesWith(paths, pattern, /^(\*|\/\/|\/\*)/);
}

function isText(path: string): boolean {
  return !/\.(gz|png|jpg|o|ico|woff2?)$/.test(path);
}

function text(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (['node_modules', '.git', 'dist', 'build', '.cache'].includes(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return walk(path);
    return entry.isFile() ? [path] : [];
  });
}
