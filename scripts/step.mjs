// One line per step: what, how it went, how long. Nothing else prints while a step runs.

/** Runs `work` and prints `name: <what it returned> (time)`. A thrown error is printed and passed on. */
export async function step(name, work) {
  const begin = process.hrtime.bigint();
  const seconds = () => `${(Number(process.hrtime.bigint() - begin) / 1e9).toFixed(2)} s`;
  try {
    const outcome = await work();
    console.log(`${name.padEnd(16)} ${outcome} (${seconds()})`);
    return outcome;
  } catch (error) {
    console.log(`${name.padEnd(16)} FAILED (${seconds()}): ${error.message}`);
    throw error;
  }
}

/** An error whose message alone is for the reader; no stack trace helps. */
export class Unmet extends Error {}
