import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "../testing.ts";
import { post, run, startNode, until } from "../e2e/harness.ts";
import { remount, withSmallDisk } from "../storage/temp-folder.ts";

/** Waits until /readyz answers with a status, and gives the reasons. */
function readiness(rest: string, status: number): Promise<string[]> {
  return until(async () => {
    const answer = await fetch(`${rest}/readyz`);
    const { reasons } = await answer.json() as { reasons: string[] };
    return answer.status === status ? reasons : undefined;
  });
}

test("a node on a read-only data directory says so with the cure, whether it was there or not", () =>
  withSmallDisk(16, async (disk) => {
    remount(disk, "ro");
    for (const dataDir of [disk, join(disk, "new", "data")]) {
      const flags = ["--data-dir", dataDir, "--rest-listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0"];
      const ended = await run(["node", ...flags]);
      assert.equal(ended.code, 12, ended.stderr);
      assert.match(ended.stderr, /read-only|EROFS/);
      assert.match(ended.stderr, new RegExp(disk));
    }
  }));

test("a node whose disk becomes full refuses what it must store, serves the rest, and goes on once there is room", (t) =>
  withSmallDisk(48, async (disk) => {
    const node = await startNode(t, { dataDir: join(disk, "data") });
    const ballast = join(disk, "ballast");
    writeFileSync(ballast, new Uint8Array(20 << 20));
    const noise = randomBytes(500_000).toString("base64"); // LevelDB cannot compress it
    const stored = (id: number) =>
      post(`${node.rest}/v1/tasks/run`, { id: `t${id}`, plugin: "demo", function: "echo", input: `${id}${noise}` });
    let full: Awaited<ReturnType<typeof post>> | undefined;
    for (let id = 0; id < 100 && full === undefined; id++) {
      const answer = await stored(id);
      if (answer.status !== 200) full = answer;
    }
    assert.equal(full?.status, 507, full?.text);
    assert.equal(JSON.parse(full.text).code, "storage_full");
    const reasons = await readiness(node.rest, 503);
    assert.match(reasons[0]!, /is full: \d+ MiB are free, less than 32 MiB/);
    assert.equal((await post(`${node.rest}/task`, { input: "hello" })).text, '{"output":"world"}');
    assert.equal(JSON.parse((await stored(0)).text).replayed, true);
    rmSync(ballast);
    await until(async () => (await stored(1000)).status === 200 ? true : undefined);
  }));

test("a node is unready while its disk is full, says so, serves on, and is ready again by itself", (t) =>
  withSmallDisk(160, async (disk) => {
    const node = await startNode(t, { dataDir: join(disk, "data") });
    assert.deepEqual(await readiness(node.rest, 200), []);
    const ballast = join(disk, "ballast");
    writeFileSync(ballast, new Uint8Array(130 << 20));
    const full = await readiness(node.rest, 503);
    assert.match(full[0]!, /^The disk of the data directory .* is full: \d+ MiB are free/);
    assert.equal((await post(`${node.rest}/task`, { input: "hello" })).text, '{"output":"world"}');
    rmSync(ballast);
    await readiness(node.rest, 200);
  }));
