import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dataPaths } from "../../src/config/mod.ts";
import { restoreBackup } from "../../src/node/backup-part.ts";
import { openStore } from "../../src/storage/mod.ts";
import { scratch } from "../e2e/harness.ts";
import { test } from "../testing.ts";

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

test("backups of every version are restored, from version 2 on with their custody statements", async (t) => {
  const path = new URL("../vectors/storage-files.json", import.meta.url);
  const { backups } = JSON.parse(await readFile(path, "utf8"));
  for (const { version, passphrase, bytes, entries } of backups) {
    const dataDir = join(scratch(t), "data");
    const { files } = await restoreBackup(once(Buffer.from(bytes, "hex")), { dataDir, passphrase });
    assert.equal(files, 1);
    const store = await openStore(dataPaths(dataDir).database);
    try {
      const wanted = entries
        .filter(({ type }: { type: string }) => type === "custody")
        .map(({ id, text }: { id: string; text: string }) => [id, text]);
      assert.equal(wanted.length, version - 1);
      assert.deepEqual(await store.payments.entries("custody"), wanted);
      assert.equal((await store.files.all("", 10)).length, 1);
    } finally {
      await store.close();
    }
  }
});
