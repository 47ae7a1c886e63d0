// @timeout 500
/** RPM's own database: packages built and installed by the real rpm, in mounts without dpkg. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { skip } from '../skip.ts';
import { fleetTree } from '../systemd/debian-tree.ts';

const test = suite('packages of an RPM host');
const ROOT = join(import.meta.dirname, '../..');

/** Prints who owns each path, and who does when another package is installed over it. */
const ASK = `
import { execFileSync } from 'node:child_process';
import { Packages } from '/repo/src/agent/packages.ts';
const paths = process.argv.slice(1);
let answers = 0;
const packages = new Packages(() => answers++);
const asked = async (path, wanted) => {
  while (packages.of(path) !== wanted) await new Promise((resolve) => setTimeout(resolve, 10));
};
for (const path of paths) packages.of(path);
await asked('/opt/ship/ship', 'ship');
console.log(JSON.stringify(paths.map((path) => packages.of(path) ?? null)));
execFileSync('rpm', ['-i', '/root/rpmbuild/RPMS/noarch/ship-late-1-1.noarch.rpm'], { stdio: 'ignore' });
packages.of('/opt/ship/new');
await asked('/opt/ship/ship-late', 'ship-late');
console.log(answers);
packages.stop();
`;
const tree = fleetTree();
const NAME =
  "each file has its package, beside files that are gone, nobody's or of two; one that is installed later too";
if ('missing' in tree) skip(test, NAME, tree.missing);
else
  test(NAME, () => {
    const place = mkdtempSync(join(tmpdir(), 'postern-test-'));
    const node = process.execPath.replace(ROOT, '/repo');
    const paths = [
      '/opt/ship/both',
      '/opt/ship/ship-compat',
      '/etc/passwd',
      '/opt/ship/none',
      '/opt/ship/ship',
      '/opt/ship/ship-late',
    ];
    const words = [join(import.meta.dirname, 'packages-rpm.sh'), tree.path, place, ROOT];
    const ask = [node, '--input-type=module', '--eval', ASK, '--', ...paths];
    const said = execFileSync('unshare', ['--mount', 'sh', ...words, ...ask], { encoding: 'utf8', timeout: 60_000 });
    rmdirSync(place);
    const [owners, answers] = said.trimEnd().split('\n');
    const [both, ...others] = JSON.parse(owners!);
    assert.match(both, /^ship(-compat)?$/);
    assert.equal(others, ['ship-compat', null, null, 'ship', null]);
    assert.ok(Number(answers) >= 2);
  });

test.run();
