/** A server in a process of its own, to be killed: embedded-postgres.test.ts forks it. */
import { startTestServer } from './harness.ts';

const server = await startTestServer({ dir: process.argv[2]! });
process.send?.(server.databasePid);
