import { test as nodeTest } from "node:test";
import { keepTimersFiring } from "../src/core/mod.ts";

keepTimersFiring();

/** What a test has beside its body. */
export interface TestScope {
  /** Runs when the test is over, however it ended; the last one given runs first. */
  after(cleanup: () => unknown): void;
}

/**
 * `test` of node:test with an `after` that works on both runtimes: Deno 2.8's node:test takes `t.after()` and never runs it, which
 * leaves servers, processes and folders behind.
 */
export function test(name: string, body: (t: TestScope) => unknown): void {
  nodeTest(name, async () => {
    const cleanups: (() => unknown)[] = [];
    try {
      await body({ after: (cleanup) => void cleanups.push(cleanup) });
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup();
    }
  });
}
