/** One request's id in the logs of all nodes that work for it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { test } from "../testing.ts";
import { get, type NodeProcess, scratch, startNode, until } from "./harness.ts";

interface Line {
  readonly msg: string;
  readonly requestId?: string;
  readonly requester?: string;
  readonly method?: string;
}

/** The methods that a node has answered for a request, by its log. */
function answered({ log }: NodeProcess, requestId: string): string[] {
  const lines = log.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Line);
  return lines.filter((line) => line.requestId === requestId).map(({ method = "" }) => method.split("/").at(-1)!);
}

/** Waits until each of some nodes has told of a method for a request: a log line comes after its answer. */
function told(nodes: readonly NodeProcess[], { requestId, method }: { requestId: string; method: string }) {
  return until(() =>
    Promise.resolve(nodes.every((node) => answered(node, requestId).includes(method)) ? true : undefined)
  );
}

test("the id of a request for a file is in the logs of all providers that work for it: put, get, audit, repair", async (t) => {
  const folder = scratch(t);
  const log = { level: "debug" };
  const start = (name: string, config = {}) =>
    startNode(t, { dataDir: join(folder, name), config: { log, ...config } });
  const providers = await Promise.all([0, 1, 2].map((i) => start(`provider-${i}`)));
  const requester = await start("requester", { requester: { providers: providers.map(({ rpc }) => rpc) } });
  const ask = async (method: string, path: string, requestId: string, body?: Uint8Array) => {
    const answer = await fetch(`${requester.rest}${path}`, {
      method,
      headers: { "x-request-id": requestId },
      ...(body && { body: body as BodyInit }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.ok(answer.ok, `${requestId}: ${answer.status} ${bytes}`);
    assert.equal(answer.headers.get("x-request-id"), requestId);
    return bytes;
  };

  const bytes = randomBytes(300_000);
  // Two of three providers: one is left for the repair.
  const { id } = JSON.parse(String(await ask("PUT", "/v1/files/traced?policy=1%2B1", "the-put", bytes))) as {
    id: string;
  };
  const shardsOf = async () =>
    (await get<{ shards: { provider: string; state: string }[] }>(`${requester.rest}/v1/files/${id}/health`)).shards;
  const holders = await until(async () => {
    const shards = await shardsOf();
    if (!shards.every(({ state }) => state === "stored")) return undefined;
    return shards.map(({ provider }) => providers.find(({ rpc }) => rpc === provider)!);
  });
  await told(holders, { requestId: "the-put", method: "PutShard" });

  assert.deepEqual(await ask("GET", `/v1/files/${id}/content`, "the-get"), bytes);
  await until(() =>
    Promise.resolve(holders.some((node) => answered(node, "the-get").includes("GetShard")) || undefined)
  );

  await ask("POST", `/v1/files/${id}/audit`, "the-audit");
  await told(holders, { requestId: "the-audit", method: "Prove" });

  await holders[0]!.stop("SIGKILL");
  await ask("POST", `/v1/files/${id}/repair`, "the-repair");
  const spare = providers.filter((node) => !holders.includes(node));
  await told(spare, { requestId: "the-repair", method: "PutShard" });
  assert.ok((await shardsOf()).some(({ provider }) => provider === spare[0]!.rpc));

  // Who it was is told too, and the requester's own line.
  const line = holders[1]!.log.find((text) => text.includes('"the-audit"'));
  assert.equal((JSON.parse(line!) as Line).requester?.toLowerCase(), requester.nodeId.toLowerCase());
  assert.ok(requester.log.some((text) => text.includes("Answered over REST") && text.includes('"the-audit"')));
});

test("calls of one round of upkeep share an id, which is no other round's", async (t) => {
  const folder = scratch(t);
  const log = { level: "debug" };
  const providers = await Promise.all(
    [0, 1].map((i) => startNode(t, { dataDir: join(folder, `provider-${i}`), config: { log } })),
  );
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: {
      files: { auditIntervalMs: "1s" },
      requester: { providers: providers.map(({ rpc }) => rpc) },
    },
  });
  const put = await fetch(`${requester.rest}/v1/files/x?policy=1%2B1`, {
    method: "PUT",
    headers: { "x-request-id": "the-put" },
    body: "x",
  });
  assert.equal(put.status, 201, await put.text());
  const rounds = ({ log }: NodeProcess) =>
    log.filter((line) => line.includes("Prove")).map((line) => (JSON.parse(line) as Line).requestId);
  const [first, second] = await until(async () => {
    const [one, two] = providers.map(rounds);
    const shared = one!.filter((id) => two!.includes(id));
    if (shared.length >= 2) return shared;
    // A removal wakes upkeep, which else looks every ten seconds.
    await (await fetch(`${requester.rest}/v1/files/gone?policy=1%2B1`, { method: "PUT", body: "" })).text();
    await (await fetch(`${requester.rest}/v1/files/gone`, { method: "DELETE" })).text();
    return undefined;
  });
  assert.notEqual(first, second);
  assert.notEqual(first, "the-put");
});
