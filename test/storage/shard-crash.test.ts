import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isDeno } from "../../src/core/mod.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import { shardId } from "../contract-suites/shard-store.ts";
import { crashBytes, OWNER, ROOT, type Said } from "./shard-crash-writer.ts";
import { withFolder } from "./temp-folder.ts";

/** VELAS_CRASH_ROUNDS=200 for the long run. */
const ROUNDS = Number(process.env["VELAS_CRASH_ROUNDS"] ?? 10);

/** Runs a writer and kills it some milliseconds after it has said a number of things. Returns what it said. */
async function killedWriter(folder: string, round: number): Promise<Said[]> {
  const script = fileURLToPath(new URL("./shard-crash-writer.ts", import.meta.url));
  const args = [...(isDeno ? ["run", "-A", "--no-check"] : []), script, folder, String(round)];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const kill = () => writer.kill("SIGKILL");
  // Now and then in the middle of its start, with whatever the one before left to clean up.
  let timer: NodeJS.Timeout | undefined = round % 4 === 3 ? setTimeout(kill, 60 + Math.random() * 300) : undefined;
  const enough = 1 + Math.floor(Math.random() * 60);
  let text = "";
  for await (const piece of writer.stdout.setEncoding("utf8")) {
    text += piece;
    if (text.split("\n").length > enough) timer ??= setTimeout(kill, Math.random() * 8);
  }
  clearTimeout(timer);
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as Said);
}

test(`a shard store that is killed ${ROUNDS} times has every shard that it acknowledged, and right books`, () =>
  withFolder(async (folder) => {
    const stored = new Set<number>();
    const removing = new Set<number>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const said of await killedWriter(folder, round)) {
        if (said.stored !== undefined) stored.add(said.stored);
        if (said.removing !== undefined) removing.add(said.removing);
      }
    }
    assert.ok(stored.size > ROUNDS, `too little happened: ${stored.size}`);

    const { shards, check, close } = await openShardStore(folder, { minFreeBytes: 0 });
    for (const number of stored) {
      if (removing.has(number)) continue;
      const key = { owner: OWNER, id: shardId(number) };
      const bytes = crashBytes(number);
      const record = await shards.get(key);
      assert.ok(record !== undefined, `shard ${number} was acknowledged and is gone`);
      assert.deepEqual([record.sizeBytes, record.root], [bytes.length, ROOT]);
      assert.deepEqual(await shards.read(key, { start: 0, end: bytes.length }), bytes, `shard ${number}`);
    }
    const first = await check({ repair: false, readBodies: true });
    assert.deepEqual(first.problems, []);
    assert.deepEqual(await shards.totals(), { shards: first.shards, bytes: first.bytes });
    assert.equal(shards.stats().uploadBytes, first.uploadBytes);

    // Nothing is left when everything is removed.
    for (let page = await shards.list(OWNER, "", 1000); page.length > 0; page = await shards.list(OWNER, "", 1000)) {
      for (const record of page) await shards.remove(record);
    }
    await shards.dropUploadsBefore(Infinity);
    await shards.settle();
    assert.deepEqual(await check({ repair: false, readBodies: true }), {
      shards: 0,
      bytes: 0,
      uploadBytes: 0,
      problems: [],
    });
    assert.deepEqual(shards.stats(), { shards: 0, bytes: 0, uploadBytes: 0, quotaBytes: Number.MAX_SAFE_INTEGER });
    await close();
  }));
