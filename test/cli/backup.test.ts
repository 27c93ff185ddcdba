import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFake } from "./fake-node.ts";
import { runHere } from "./harness.ts";
import { test } from "../testing.ts";

test("backup writes over a file only with --force, and asks the node for nothing before", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { url, seen } = await startFake(t, { "POST /v1/backup": { body: "sealed" } });
  const place = join(folder, "node.backup");
  const backup = (...flags: string[]) =>
    runHere(["backup", "node.backup", ...flags, "--url", url], {
      cwd: folder,
      env: { VELAS_SPHERE_BACKUP_PASSPHRASE: "correct horse" },
    });
  writeFileSync(place, "of another node");

  const refused = await backup();
  assert.equal(refused.code, 6);
  assert.equal(
    refused.stderr,
    `error: ${place} is there already: name another file, or write over it with --force (already_exists)\n`,
  );
  assert.equal(seen.length, 0);
  assert.equal(readFileSync(place, "utf8"), "of another node");

  const forced = await backup("--force");
  assert.equal(forced.code, 0, forced.stderr);
  assert.equal(readFileSync(place, "utf8"), "sealed");
  rmSync(place);
  assert.equal((await backup()).code, 0);
  assert.equal(readFileSync(place, "utf8"), "sealed");
  assert.deepEqual(readdirSync(folder), ["node.backup"]);
});
