/** A node's files from its backup, on another data directory, by the command line. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "../testing.ts";
import { run, scratch, startNode } from "./harness.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

test("a node that lost everything but its backup reads every file", async (t) => {
  const folder = scratch(t);
  const providers = await Promise.all(
    Array.from({ length: 3 }, (_, i) => startNode(t, { dataDir: join(folder, `provider-${i}`) })),
  );
  const config = { requester: { providers: providers.map(({ rpc }) => rpc) } };
  const node = await startNode(t, { dataDir: join(folder, "node"), config });
  const files = [["empty", randomBytes(0)], ["a/b", randomBytes(70_000)], ["big", randomBytes(2_000_000)]] as const;
  for (const [name, bytes] of files) {
    const answer = await fetch(`${node.rest}/v1/files/${name}?policy=2%2B1`, {
      method: "PUT",
      body: bytes as BodyInit,
    });
    assert.equal(answer.status, 201, await answer.text());
  }

  const passphrase = join(folder, "passphrase");
  writeFileSync(passphrase, "correct horse battery staple\n");
  const backup = join(folder, "node.backup");
  const saved = await run(["backup", backup, "--passphrase-file", passphrase, "--url", node.rest]);
  assert.equal(saved.code, 0, saved.stderr);
  await node.stop("SIGKILL");

  const restored = join(folder, "restored");
  const wrong = join(folder, "wrong");
  writeFileSync(wrong, "another passphrase");
  const refused = await run(["restore", backup, "--data-dir", restored, "--passphrase-file", wrong]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /passphrase is wrong/);
  assert.deepEqual(readdirSync(restored), [], "nothing is left of it");
  const full = join(folder, "full");
  mkdirSync(full);
  writeFileSync(join(full, "x"), "");
  const occupied = await run(["restore", backup, "--data-dir", full, "--passphrase-file", passphrase]);
  assert.match(occupied.stderr, /is not empty/);

  const done = await run(["restore", backup, "--data-dir", restored, "--passphrase-file", passphrase, "--json"]);
  assert.equal(done.code, 0, done.stderr);
  assert.equal((JSON.parse(done.stdout) as { files: number }).files, files.length);
  const again = await startNode(t, { dataDir: restored, config });
  for (const [name, bytes] of files) {
    const answer = await fetch(`${again.rest}/v1/files/${name}`);
    assert.equal(answer.status, 200);
    assert.equal(sha256(new Uint8Array(await answer.arrayBuffer())), sha256(bytes), name);
  }
});
