/** How Postern ends. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startInstance } from './instance.ts';
import { until } from './wait.ts';

const test = suite('stop');

test('a signal that comes twice, from npm and to the whole group, leaves no database behind', async () => {
  const postern = await startInstance();
  const postmaster = join(postern.stateDir, 'postgres/data/postmaster.pid');
  try {
    assert.ok(existsSync(postmaster));
    process.kill(postern.pid(), 'SIGTERM');
    await until('it is stopping', () => postern.log().includes('stopping'));
    await postern.stop();
    assert.not(existsSync(postmaster));
  } finally {
    await postern.destroy();
  }
});

test.run();
