// @timeout 300
import { suite } from 'uvu';
import { startTestServer, type TestServer } from './harness.ts';
import { SCENARIO } from './scenario.ts';

const test = suite('rest, on the embedded PostgreSQL');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.after(() => server?.close());
for (const [name, run] of SCENARIO) test(name, () => run(server));
test.run();
