/** Data directories that an earlier version wrote; `test/vectors/data-dir-v1/make.ts` made them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { Level } from "level";
import { startLocalChain } from "../../src/payments/local-chain.ts";
import { openStore, SCHEMA_VERSION } from "../../src/storage/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { get, type NodeProcess, post, scratch, startNode, taskThat, until } from "./harness.ts";
import { channelOf, channelsOf } from "./paid-swarm.ts";

interface Facts {
  readonly requester: { readonly nodeId: string };
  readonly providers: readonly { readonly nodeId: string; readonly rpc: string }[];
  readonly tasks: readonly { readonly id: string; readonly output: string; readonly isLocal: boolean }[];
  readonly files: readonly {
    readonly id: string;
    readonly name: string;
    readonly sizeBytes: number;
    readonly sha256: string;
  }[];
  readonly channels: readonly {
    readonly channelId: string;
    readonly peer: string;
    readonly charged: string;
    readonly paid: string;
    readonly items: number;
  }[];
}

/** Unpacks the directories into a folder that goes with the test. */
function unpack(t: TestScope): { folder: string; facts: Facts; chainState: string } {
  const folder = scratch(t);
  const packed = readFileSync(new URL("../vectors/data-dir-v1/data-dirs.tar.br", import.meta.url));
  execFileSync("tar", ["--extract", "--no-same-owner", "--directory", folder], { input: brotliDecompressSync(packed) });
  const facts = JSON.parse(readFileSync(join(folder, "facts.json"), "utf8")) as Facts;
  return { folder, facts, chainState: readFileSync(join(folder, "chain.txt"), "utf8") };
}

async function schemaOf(path: string): Promise<number> {
  const db = new Level(path);
  try {
    return (JSON.parse((await db.get("!system!schema"))!) as { version: number }).version;
  } finally {
    await db.close();
  }
}

/** Lets the records of a database say that the nodes are elsewhere now, and changes nothing else; sealed values stay as they are. */
async function moveNodes(path: string, moves: readonly (readonly [from: string, to: string])[]): Promise<void> {
  const moved = (text: string) => moves.reduce((now, [from, to]) => now.replaceAll(from, to), text);
  const db = new Level(path);
  for (const [key, value] of await db.iterator().all()) {
    const [newKey, newValue] = [moved(key), value.startsWith("{") ? moved(value) : value];
    if (newKey !== key) await db.del(key);
    if (newKey !== key || newValue !== value) await db.put(newKey, newValue);
  }
  await db.close();
}

test("data directories of schema 1 open: keys, tasks, files and payments are all there, and go on", async (t) => {
  const { folder, facts, chainState } = unpack(t);
  const chain = await startLocalChain();
  t.after(() => chain.close());
  assert.equal(await chain.rpc("anvil_loadState", [chainState]), true);
  const payments = {
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    registry: chain.registry,
    confirmations: 0,
    maxHeadAgeMs: 0,
    claimEveryMs: 1000,
  };
  const database = join(folder, "requester", "db");
  assert.equal(await schemaOf(database), 1);
  const prices = {
    cpuSecond: "1000000",
    gibHour: "1000000000",
    gibWritten: "1000000000000",
    gibRead: "3000000000000",
    minimum: "7",
  };
  const providers: NodeProcess[] = [];
  for (const [place, { nodeId }] of facts.providers.entries()) {
    const provider = await startNode(t, { dataDir: join(folder, `provider-${place}`), config: { payments, prices } });
    assert.equal(provider.nodeId, nodeId, "the key was read");
    providers.push(provider);
  }
  const addresses = providers.map(({ rpc }) => rpc);
  await moveNodes(database, facts.providers.map(({ rpc }, place) => [rpc, addresses[place]!]));
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { payments: { ...payments, deposit: String(10n ** 18n) }, requester: { providers: addresses } },
  });
  assert.equal(requester.nodeId, facts.requester.nodeId);

  const channels = await channelsOf(requester);
  for (const { channelId, peer, charged, paid, items } of facts.channels) {
    const now = channels.find((channel) => channel.channelId === channelId);
    assert.ok(now !== undefined, channelId);
    assert.deepEqual([now.peer, now.state], [peer, "open"]);
    const earned = await channelOf(providers.find(({ nodeId }) => nodeId === peer)!);
    assert.equal(earned.channelId, channelId);
    // Audits that are due by now may cost more.
    for (const book of [now, earned]) {
      assert.ok(BigInt(book.charged) >= BigInt(charged) && book.items >= items, JSON.stringify(book));
      assert.ok(BigInt(book.paid) >= BigInt(paid), JSON.stringify(book));
    }
  }

  for (const { id, output } of facts.tasks.filter(({ isLocal }) => isLocal)) {
    const task = await get<{ state: string }>(`${requester.rest}/v1/tasks/${id}`);
    assert.equal(task.state, "succeeded");
    assert.equal(await (await fetch(`${requester.rest}/v1/tasks/${id}/output`)).text(), output);
  }
  const { files } = await get<{ files: { id: string; name: string; sizeBytes: number }[] }>(
    `${requester.rest}/v1/files`,
  );
  assert.deepEqual(
    files.map(({ id, name, sizeBytes }) => [id, name, sizeBytes]).sort(),
    facts.files.map(({ id, name, sizeBytes }) => [id, name, sizeBytes]).sort(),
  );
  for (const { id, name, sha256 } of facts.files) {
    const answer = await fetch(`${requester.rest}/v1/files/${id}/content`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.equal(answer.status, 200, bytes.toString());
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }

  // And work goes on, on the channels of before.
  const again = await post(`${requester.rest}/v1/tasks`, { id: "new", input: "hello", target: addresses[0] });
  assert.equal(again.status, 202, again.text);
  await taskThat(({ state }) => state === "succeeded", { rest: requester.rest, id: "new" });
  const { peer, items } = facts.channels.find((channel) => channel.peer === providers[0]!.nodeId)!;
  await until(async () => {
    const now = (await channelsOf(requester)).filter((channel) => channel.peer === peer);
    assert.equal(now.length, 1, "no second channel was opened");
    return now[0]!.items > items || undefined;
  });
  const put = await fetch(`${requester.rest}/v1/files/new?policy=2%2B1`, { method: "PUT", body: "new" });
  assert.equal(put.status, 201, await put.text());

  for (const node of [requester, ...providers]) assert.equal((await node.stop()).code, 0);
  for (const name of ["requester", "provider-0", "provider-1", "provider-2"]) {
    assert.equal(await schemaOf(join(folder, name, "db")), SCHEMA_VERSION);
  }
});

test("what a requester of schema 1 sent away is found in its own book", async (t) => {
  const { folder, facts } = unpack(t);
  const path = join(folder, "copy");
  cpSync(join(folder, "requester", "db"), path, { recursive: true });
  const store = await openStore(path);
  try {
    const sent = facts.tasks.filter(({ isLocal }) => !isLocal).map(({ id }) => id);
    const found = await store.requests.getMany(sent);
    assert.deepEqual(found.map((request) => request?.record.id), sent);
  } finally {
    await store.close();
  }
});

for (const name of ["db", "shards"]) {
  test(`a node refuses a data directory whose ${name} is of a newer schema, and says what to do`, async (t) => {
    const { folder } = unpack(t);
    const path = join(folder, "provider-0", name);
    const db = new Level(path);
    await db.put("!system!schema", JSON.stringify({ version: 99 }));
    await db.close();
    await assert.rejects(startNode(t, { dataDir: join(folder, "provider-0") }), (error: Error) => {
      assert.match(error.message, /ended with [1-9]/);
      assert.match(
        error.message,
        /has schema 99, and this program knows up to \d+: use the newer program that wrote it/,
      );
      assert.ok(error.message.includes(path), error.message);
      return true;
    });
    assert.equal(await schemaOf(path), 99, "it is left as it was");
  });
}
