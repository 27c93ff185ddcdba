/** A file that one node shares with another, over real nodes. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { test } from "../testing.ts";
import { get, run, scratch, startNode } from "./harness.ts";

interface Health {
  readonly file: { readonly state: string; readonly sharedBy?: string };
  readonly shards: readonly { readonly state: string; readonly lastError?: string }[];
}

test("a file is shared with one node, which reads and audits it, and with no other", async (t) => {
  const folder = scratch(t);
  const providers = await Promise.all(
    Array.from({ length: 3 }, (_, i) => startNode(t, { dataDir: join(folder, `provider-${i}`) })),
  );
  const config = { requester: { providers: providers.map(({ rpc }) => rpc) } };
  const [alice, bob, eve] = await Promise.all(
    ["alice", "bob", "eve"].map((name) => startNode(t, { dataDir: join(folder, name), config })),
  );
  const bytes = randomBytes(500_000);
  const put = await fetch(`${alice!.rest}/v1/files/letter?policy=2%2B1`, { method: "PUT", body: bytes });
  const { id } = await put.json() as { id: string };
  const { nodeId: aliceId } = await get<{ nodeId: string }>(`${alice!.rest}/v1/node`);

  const key = await run(["file", "share-key", "--url", bob!.rest]);
  assert.equal(key.code, 0, key.stderr);
  const share = join(folder, "letter.share");
  const shared = await run([
    "file",
    "share",
    "letter",
    key.stdout.trim(),
    "--output-file",
    share,
    "--url",
    alice!.rest,
  ]);
  assert.equal(shared.code, 0, shared.stderr);

  const refused = await run(["file", "import", share, "--url", eve!.rest]);
  assert.notEqual(refused.code, 0, "it is not for Eve");
  const taken = await run(["file", "import", share, "--url", bob!.rest]);
  assert.equal(taken.code, 0, taken.stderr);

  const answer = await fetch(`${bob!.rest}/v1/files/${id}/content`);
  assert.equal(answer.status, 200, answer.status === 200 ? "" : await answer.clone().text());
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
  const part = await fetch(`${bob!.rest}/v1/files/letter`, { headers: { range: "bytes=70000-70009" } });
  assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(70_000, 70_010)));
  const audited = await (await fetch(`${bob!.rest}/v1/files/${id}/audit`, { method: "POST" })).json() as Health;
  assert.deepEqual(audited.shards.map(({ state }) => state), ["proven", "proven", "proven"], JSON.stringify(audited));
  assert.equal(audited.file.sharedBy, aliceId);

  // Taken back, it is refused; a new share is not, and those of a provider that was down are refused when it is told.
  const unshared = await run(["file", "unshare", "letter", "--url", alice!.rest]);
  assert.equal(unshared.code, 0, unshared.stderr);
  assert.equal(unshared.stdout, "3 providers refuse the shares of letter\n");
  const after = await fetch(`${bob!.rest}/v1/files/${id}/content`);
  const got = await after.arrayBuffer().catch(() => undefined);
  assert.ok(after.status !== 200 || got === undefined, "Bob reads no more");
  const denied = await (await fetch(`${bob!.rest}/v1/files/${id}/audit`, { method: "POST" })).json() as Health;
  for (const { lastError } of denied.shards) assert.match(lastError ?? "", /capability was taken back/);
  const again = await fetch(`${alice!.rest}/v1/files/letter`);
  assert.ok(Buffer.from(await again.arrayBuffer()).equals(bytes), "Alice reads on");
  assert.equal((await run(["file", "rm", "letter", "--url", bob!.rest])).code, 0);
  const anew = join(folder, "anew.share");
  const sharing = ["file", "share", "letter", key.stdout.trim(), "--output-file", anew, "--url", alice!.rest];
  assert.equal((await run(sharing)).code, 0);
  assert.equal((await run(["file", "import", anew, "--url", bob!.rest])).code, 0);
  const regained = await fetch(`${bob!.rest}/v1/files/letter`);
  assert.equal(regained.status, 200, regained.status === 200 ? "" : await regained.clone().text());
  assert.ok(Buffer.from(await regained.arrayBuffer()).equals(bytes));

  // It stays Alice's: Bob can neither share it on nor take it away.
  const onward = await run(["file", "share", "letter", key.stdout.trim(), "--url", bob!.rest]);
  assert.match(onward.stderr, /Only the owner/);
  const removed = await run(["file", "rm", "letter", "--url", bob!.rest]);
  assert.equal(removed.code, 0, removed.stderr);
  const kept = await fetch(`${alice!.rest}/v1/files/letter`);
  assert.ok(Buffer.from(await kept.arrayBuffer()).equals(bytes));
});
