import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type NodeProcess, scratch, startNode } from "./harness.ts";
import { test } from "../testing.ts";

/** Waits for the nth line of the log that has the text. */
async function logged(node: NodeProcess, text: string, nth = 1): Promise<Record<string, unknown>> {
  for (let tries = 0; tries < 1500; tries++) {
    const line = node.log.filter((each) => each.includes(text))[nth - 1];
    if (line !== undefined) return JSON.parse(line);
    assert.equal(node.child.exitCode, null, node.log.join("\n"));
    await sleep(20);
  }
  throw new Error(`Nothing like "${text}" was logged:\n${node.log.join("\n")}`);
}

/** Not `child.kill()`: Deno's takes the first signal for the last one. */
function hangUp({ child }: NodeProcess): void {
  process.kill(child.pid!, "SIGHUP");
}

test("SIGHUP takes over what can change, names what needs a restart, and a wrong file changes nothing", async (t) => {
  const dataDir = join(scratch(t), "data");
  const node = await startNode(t, { dataDir, config: { rest: { token: "the-token-of-this-test" } } });
  const write = (text: string) => writeFileSync(`${dataDir}.config.json`, text);
  const headers = { authorization: "Bearer the-token-of-this-test" };
  const get = async (path: string, init = {}) => await fetch(node.rest + path, { headers, ...init });
  const statusOf = async (path: string) => {
    const answer = await get(path);
    await answer.text();
    return answer.status;
  };
  const valueOf = async (key: string) => {
    const { settings } = await (await get("/v1/config")).json();
    return settings.find((each: { key: string }) => each.key === key);
  };

  write(JSON.stringify({
    rest: { token: "another-token-of-this-test", maxBodyBytes: "1MiB" },
    log: { level: "debug" },
    alerts: { minFreeBytes: "3GiB" },
  }));
  hangUp(node);
  const line = await logged(node, "Configuration read anew");
  assert.deepEqual(line["applied"], ["alerts.minFreeBytes", "log.level"]);
  assert.deepEqual(line["needRestart"], ["rest.token", "rest.maxBodyBytes"]);
  assert(!node.log.join("").includes("another-token"), "the token is not told");
  assert.equal(await statusOf("/info"), 200, "the token is the old one until a restart");
  assert.equal((await valueOf("log.level")).value, "debug");
  assert.match((await valueOf("log.level")).source, /config\.json/);
  assert.match((await valueOf("rest.maxBodyBytes")).source, /default/);

  write('{"log":{"level":"loud"},"rest":{"tokn":1}}');
  hangUp(node);
  const refused = await logged(node, "was not taken over");
  assert.match(String(refused["reason"]), /rest\.tokn.*log\.level/s);
  assert.equal((await valueOf("log.level")).value, "debug");
  const answer = await get("/v1/config/reload", { method: "POST" });
  assert.equal(answer.status, 500);
  assert.equal((await answer.json()).code, "config_invalid");

  write(JSON.stringify({
    rest: { token: "the-token-of-this-test", requestsPerSecond: 1, requestsBurst: 1 },
    log: { level: "debug" },
  }));
  const changed = await get("/v1/config/reload", { method: "POST" });
  assert.deepEqual((await changed.json()).applied, [
    "rest.requestsPerSecond",
    "rest.requestsBurst",
    "alerts.minFreeBytes",
  ]);
  const statuses = [await statusOf("/info"), await statusOf("/info"), await statusOf("/info")];
  assert(statuses.includes(429), statuses.join());
  assert.deepEqual(await node.stop("SIGTERM"), { code: 0, signal: null });
});
