import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "../testing.ts";
import type { NodeError } from "../../src/core/mod.ts";
import { openStore } from "../../src/storage/mod.ts";
import { failure } from "../contract-suites/task-fixtures.ts";
import { remount, withSmallDisk } from "../storage/temp-folder.ts";

test("a read-only file system is named with the cure", () =>
  withSmallDisk(16, async (disk) => {
    const path = join(disk, "db");
    await (await openStore(path)).close();
    remount(disk, "ro");
    await assert.rejects(
      openStore(path),
      failure("storage_failed", /db is on a read-only file system: .*node\.dataDir/),
    );
    await assert.rejects(
      openStore(join(disk, "other")),
      failure("storage_failed", /other is on a read-only file system/),
    );
    remount(disk, "rw");
    await (await openStore(path)).close();
  }));

test("a full disk refuses writes, keeps reads, and loses nothing that was acknowledged", () =>
  withSmallDisk(32, async (disk) => {
    const path = join(disk, "db");
    const ballast = join(disk, "ballast");
    // Deno ends a test whose only work is LevelDB's closing; a node always has its listeners.
    const alive = setInterval(() => {}, 1000);
    const store = await openStore(path);
    await writeFile(ballast, new Uint8Array(29 << 20));
    const value = "x".repeat(50_000);
    const stored: string[] = [];
    const fill = async (from: number) => {
      for (let i = from; i < from + 200; i++) {
        await store.meta.put(`k${i}`, value + i);
        stored.push(`k${i}`);
      }
    };
    await assert.rejects(fill(0), (error) => {
      failure("storage_full", /db is full: free some space/)(error);
      return (error as NodeError).retryable && (error as NodeError).retryAfterMs! > 0;
    });
    assert(stored.length > 10);
    // While it is full, others are refused at once, and what is there can be read.
    await assert.rejects(store.meta.put("other", "v"), failure("storage_full", /./));
    assert.equal(await store.meta.get("k0"), value + "0");
    await rm(ballast);
    // The store tries to reopen at most once a second; until then it refuses.
    for (;;) {
      try {
        await store.meta.put("after", "space");
        break;
      } catch (error) {
        failure("storage_full", /./)(error);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    await fill(1000).catch((error) => failure("storage_full", /./)(error));
    await store.close();
    const again = await openStore(path);
    for (const key of stored) assert.equal(await again.meta.get(key), value + key.slice(1), key);
    assert.equal(await again.meta.get("after"), "space");
    await again.close();
    clearInterval(alive);
  }));

test("a disk that is full from the start is refused with the cure", () =>
  withSmallDisk(1, async (disk) => {
    await writeFile(join(disk, "ballast"), new Uint8Array((1 << 20) - 8192)).catch(() => {});
    await writeFile(join(disk, "rest"), new Uint8Array(8192)).catch(() => {});
    await assert.rejects(openStore(join(disk, "db")), failure("storage_full", /is full: free some space/));
  }));
