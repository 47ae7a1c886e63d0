import { createServer } from 'node:net';

/** An emulated machine takes longer: limits are so many times longer there. */
const SLOW = Number(process.env.POSTERN_TEST_SLOW ?? 1);

/** Waits for a condition, never for a time; throws its name after `limitMs`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<void> {
  const end = performance.now() + limitMs * SLOW;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${limitMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** uvu swallows what a `before` hook throws: this says it. */
export function told<T>(hook: () => Promise<T>): () => Promise<void> {
  return async () => {
    try {
      await hook();
    } catch (error) {
      console.error(error);
      throw error;
    }
  };
}
