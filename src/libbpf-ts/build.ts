/**
 * Stages the publishable package in dist/: compiled JavaScript, declarations, its own package.json, README, licence.
 * In the repository the sources are used directly, so this package.json is private and dist/ is what gets published.
 * Needs the repository's typescript. Usage: node build.ts && npm publish ./dist
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = import.meta.dirname;
const dist = join(root, 'dist');

rmSync(dist, { recursive: true, force: true });
const tsc = join(root, '../../node_modules/.bin/tsc');
execFileSync(tsc, ['-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
for (const path of globSync('**/*.d.ts', { cwd: dist })) {
  // tsc rewrites the extensions of imports in JavaScript only.
  const text = readFileSync(join(dist, path), 'utf8');
  writeFileSync(join(dist, path), text.replaceAll(/(from '\.[^']*)\.ts'/g, "$1.js'"));
}
const { name, version, description, license, type, engines, dependencies, keywords } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
);
const entry = (path: string) => ({ types: `./${path}.d.ts`, default: `./${path}.js` });
const manifest = {
  name,
  version,
  description,
  license,
  type,
  engines,
  os: ['linux'],
  keywords,
  exports: {
    '.': entry('index'),
    './net': entry('net/index'),
    './codec': entry('codec'),
    './package.json': './package.json',
  },
  bin: { 'libbpf-ts': './cli.js' },
  dependencies,
};
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync(join(root, 'README.md'), join(dist, 'README.md'));
copyFileSync(join(root, '../../LICENSE'), join(dist, 'LICENSE'));
