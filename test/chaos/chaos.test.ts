import assert from "node:assert/strict";
import { scratch } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { runChaos } from "./chaos.ts";

const KILLS = 10;
/** The same in each run: another one is for `npm run chaos`. */
const SEED = 11;
/** On a machine that is slow there are fewer kills, and not a longer run. */
const MAX_MS = 15_000;

test(`nodes killed at ${KILLS} points of put, repair, renewal, expiry and compaction lose nothing they acknowledged and leak nothing`, async (t) => {
  const summary = await runChaos({ folder: scratch(t), kills: KILLS, seed: SEED, maxMs: MAX_MS });
  assert.deepEqual(summary.violations, [], JSON.stringify(summary));
  assert.ok(summary.kills.requester > 0 && summary.kills.provider > 0, JSON.stringify(summary));
});
