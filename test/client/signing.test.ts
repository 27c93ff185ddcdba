import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createWalletClient, defineChain, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { drawSecretKey, keyOf, openSession, SphereError } from "../../client/mod.ts";
import { connectNode } from "../../client/node.ts";
import { signRequest } from "../../client/session.ts";
import type { Signing } from "../../client/signing.ts";
import { connectWeb } from "../../client/web.ts";
import { checkRequest, readCertificate, toHex } from "../../src/core/mod.ts";
import { channelsAbi } from "../../src/payments/contracts.ts";
import { startLocalChain } from "../../src/payments/local-chain.ts";
import { type NodeProcess, scratch, startNode } from "../e2e/harness.ts";
import { test, type TestScope } from "../testing.ts";

const hasCode = (code: string, words = /./) => (error: unknown) => {
  assert.ok(error instanceof SphereError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return true;
};

/** A client by each transport. */
function clientsOf(t: TestScope, node: NodeProcess, signing?: Signing) {
  const url = `http://${node.rpc}`;
  const options = signing === undefined ? { url } : { url, signing };
  const overHttp2 = connectNode(options);
  t.after(() => overHttp2.close());
  return [overHttp2, connectWeb({ ...options, restUrl: node.rest })] as const;
}

test("what the client signs is what the node checks, and the vector's session proves nothing else", () => {
  const key = keyOf(drawSecretKey());
  const provider = keyOf(drawSecretKey()).nodeId;
  const expiresAt = Date.now() + 3_600_999;
  const session = openSession(key, { provider, chainId: 31337, expiresAt });
  const read = readCertificate(session.certificate);
  assert.equal(read.requester, key.nodeId);
  assert.deepEqual([read.provider, read.chainId, read.expiresAt], [provider, 31337, session.expiresAt]);

  const path = "/velas.sphere.v1.TaskService/Run";
  const body = new TextEncoder().encode("a body");
  const proof = signRequest(session, { path, body }, { nowMs: 1_234_567, nonce: new Uint8Array(16).fill(7) });
  assert.deepEqual(checkRequest(read, proof, { method: "POST", path }), {
    createdAt: 1_234_567,
    nonce: "07".repeat(16),
    bodyDigest: createHash("sha256").update(body).digest(),
  });
  assert.equal(
    checkRequest(read, signRequest(session, { path, body: "stream" }), { method: "POST", path }).bodyDigest,
    undefined,
  );
  const { session: other } = JSON.parse(
    readFileSync(new URL("../vectors/storage-protocol.json", import.meta.url), "utf8"),
  ) as { session: { certificate: string } };
  const foreign = readCertificate(Buffer.from(other.certificate, "hex"));
  assert.throws(() => checkRequest(foreign, proof, { method: "POST", path }), { code: "unauthenticated" });
});

test("keys and sessions that are none are refused, and a refusal does not show the secret", () => {
  const secret = `0x${"5".repeat(63)}`;
  assert.throws(() => keyOf(secret), (error) => {
    assert.ok(!String(error).includes("5555"));
    return hasCode("invalid_argument", /64 hex digits; this text has 65/)(error);
  });
  assert.throws(() => keyOf(new Uint8Array(32)), hasCode("invalid_argument"));
  const key = keyOf(`0x${"01".repeat(32)}`);
  assert.equal(key.nodeId, "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1");
  const good = { provider: key.nodeId, expiresAt: Date.now() + 60_000 };
  const wrong = [{ provider: "0x12" }, { expiresAt: Date.now() - 1 }, { expiresAt: Date.now() + 25 * 3_600_000 }, {
    chainId: -1,
  }, { expiresAt: NaN }];
  for (const change of wrong) {
    assert.throws(() => openSession(key, { ...good, ...change }), hasCode("invalid_argument"), JSON.stringify(change));
  }
});

test("a node that serves only whom it knows serves a client that signs, by key or by a session that was handed on", async (t) => {
  const key = keyOf(drawSecretKey());
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { rpc: { allow: [key.nodeId] } },
  });
  for (const client of clientsOf(t, node)) {
    await assert.rejects(client.tasks.run("hello"), hasCode("unauthenticated", /rpc\.allow/));
  }
  for (const client of clientsOf(t, node, { key: keyOf(drawSecretKey()) })) {
    await assert.rejects(client.tasks.run("hello"), hasCode("permission_denied"));
  }
  for (const client of clientsOf(t, node, { key, provider: keyOf(drawSecretKey()).nodeId })) {
    await assert.rejects(client.tasks.run("hello"), hasCode("target_misbehaved", /not 0x/));
  }
  const session = openSession(key, { provider: node.nodeId, expiresAt: Date.now() + 3_600_000 });
  for (const signing of [{ key, provider: node.nodeId.toLowerCase() }, { session }]) {
    for (const client of clientsOf(t, node, signing)) {
      assert.equal((await client.tasks.run("hello")).text(), "world");
      const { id, requester } = await client.tasks.submit("hello");
      assert.equal(requester, key.nodeId);
      const events = [];
      for await (const { event } of client.tasks.watch(id)) events.push(event.case);
      assert.ok(events.length > 0);
      const ids = [];
      for await (const task of client.tasks.list()) ids.push(task.id);
      assert.ok(ids.includes(id));
    }
  }
  const over = { ...session, expiresAt: Date.now() - 1 };
  const elsewhere = openSession(key, { provider: key.nodeId, expiresAt: Date.now() + 3_600_000 });
  for (const client of clientsOf(t, node, { session: over })) {
    await assert.rejects(client.tasks.run("hello"), hasCode("unauthenticated", /session ended at/));
  }
  for (const client of clientsOf(t, node, { session: elsewhere })) {
    await assert.rejects(client.tasks.run("hello"), hasCode("unauthenticated", /its session is with/));
  }
});

test("a client that signs pays for its tasks on a channel of its own", async (t) => {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  const common = {
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    registry: chain.registry,
    confirmations: 0,
    maxHeadAgeMs: 0,
  };
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { payments: { ...common, credit: "0" }, prices: { minimum: "1000" } },
  });
  await chain.fund(node.nodeId as `0x${string}`, 10n ** 18n);

  const secret = drawSecretKey();
  const key = keyOf(secret);
  await chain.fund(key.nodeId, 10n ** 18n);
  const anvil = defineChain({
    id: chain.chainId,
    name: "anvil",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [chain.url] } },
  });
  const wallet = createWalletClient({
    chain: anvil,
    account: privateKeyToAccount(toHex(secret)),
    transport: http(chain.url),
  })
    .extend(publicActions);
  const token = `0x${"00".repeat(20)}` as const;
  const deposit = 1_000_000n;
  const args = [node.nodeId as `0x${string}`, key.nodeId, token, deposit, 24 * 3600] as const;
  const { request, result } = await wallet.simulateContract({
    address: chain.channels,
    abi: channelsAbi,
    functionName: "open",
    args,
    value: deposit,
  });
  await wallet.waitForTransactionReceipt({ hash: await wallet.writeContract(request) });
  const channelId = Buffer.from(String(result).slice(2), "hex");

  for (const [place, client] of clientsOf(t, node, { key }).entries()) {
    const { quote, account } = await client.payments.quote(channelId);
    assert.equal(quote.offer?.rates?.minimum, "1000");
    assert.equal(account.charged, String(place * 1000));
    let needed = "";
    await assert.rejects(client.tasks.run("hello"), (error) => {
      needed = (error as SphereError).data["needed"] ?? "";
      return hasCode("payment_required")(error);
    });
    const paid = await client.payments.pay(channelId, BigInt(needed));
    assert.equal(paid.paid, needed);
    assert.equal((await client.tasks.run("hello")).text(), "world");
    const after = await client.payments.account(channelId);
    assert.deepEqual([after.charged, after.items], [String((place + 1) * 1000), BigInt(place + 1)]);
    await assert.rejects(client.payments.pay(channelId, -1n), hasCode("invalid_argument"));
  }
  for (
    const client of clientsOf(t, node, {
      session: openSession(key, { provider: node.nodeId, chainId: chain.chainId, expiresAt: Date.now() + 60_000 }),
    })
  ) {
    await assert.rejects(client.payments.pay(channelId, 1n), hasCode("failed_precondition", /signing: \{ key \}/));
    assert.equal((await client.payments.account(channelId)).items, 2n);
  }
});
