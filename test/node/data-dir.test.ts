import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDataDir } from "../../src/node/data-dir.ts";
import { test } from "../testing.ts";

test("a data directory is made with the folders above it, for its owner only, and may be there", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "velas-data-dir-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "a", "b", "c");
  for (let turn = 0; turn < 2; turn++) await makeDataDir(path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  writeFileSync(join(folder, "file"), "");
  for (const wrong of [join(folder, "file"), join(folder, "file", "below")]) {
    await assert.rejects(makeDataDir(wrong), { code: "storage_failed", message: /Set node\.dataDir/ });
  }
});

test("a folder that takes none, as /proc, is refused and not tried for ever", async () => {
  if (process.platform !== "linux") return;
  for (const path of ["/proc/velas", "/proc/velas/sphere"]) {
    await assert.rejects(makeDataDir(path), { code: "storage_failed", message: /\/proc\/velas/ });
  }
});
