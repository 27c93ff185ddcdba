import assert from "node:assert/strict";
import { LIVE_SETTINGS } from "../../src/config/changes.ts";
import { configChanges, defaultConfig, SETTING_BY_KEY, withLiveSettings } from "../../src/config/mod.ts";
import { readFileSync } from "node:fs";
import { test } from "../testing.ts";

test("configChanges() tells what counts at once from what needs a restart, and withLiveSettings() takes over the first only", () => {
  const before = defaultConfig("/home/x");
  const after = {
    ...before,
    log: { ...before.log, level: "debug" as const },
    rest: { ...before.rest, requestsPerSecond: 7, listen: "127.0.0.1:1" },
  };
  assert.deepEqual(configChanges(before, after), {
    applied: ["rest.requestsPerSecond", "log.level"],
    needRestart: ["rest.listen"],
  });
  const merged = withLiveSettings(before, after);
  assert.deepEqual(configChanges(before, merged), {
    applied: ["rest.requestsPerSecond", "log.level"],
    needRestart: [],
  });
  assert.deepEqual(configChanges(before, before), { applied: [], needRestart: [] });
});

test("every live setting is one, and docs/operations.md names it", () => {
  const docs = readFileSync("docs/operations.md", "utf8");
  for (const key of LIVE_SETTINGS) {
    assert(SETTING_BY_KEY.has(key), key);
    assert(docs.includes(`\`${key}\``), `docs/operations.md does not name ${key}`);
  }
});
