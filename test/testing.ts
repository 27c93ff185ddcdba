import { test as nodeTest } from "node:test";
import { keepTimersFiring } from "../src/core/mod.ts";

keepTimersFiring();

/** What a test has beside its body. */
export interface TestScope {
  /** Runs when the test is over, however it ended; the last one given runs first. */
  after(cleanup: () => unknown): void;
}

/** After this long a test that waits for nothing that can come fails, as it would at once without `awake`. */
const AWAKE_MS = 300_000;

/**
 * `test` of node:test with an `after` that works on both runtimes: Deno 2.8's node:test takes `t.after()` and never runs it, which
 * leaves servers, processes and folders behind.
 *
 * A timer keeps the process while the body runs, as a node's listening sockets do: without, Deno 2.8 now and then ends a test whose only
 * work is LevelDB's and short timers with "the event loop has already resolved": seen once, in a file's repair, and not again in 270 runs.
 */
export function test(name: string, body: (t: TestScope) => unknown): void {
  nodeTest(name, async () => {
    const cleanups: (() => unknown)[] = [];
    const awake = setTimeout(() => {}, AWAKE_MS);
    try {
      await body({ after: (cleanup) => void cleanups.push(cleanup) });
    } finally {
      try {
        for (const cleanup of cleanups.reverse()) await cleanup();
      } finally {
        clearTimeout(awake);
      }
    }
  });
}
