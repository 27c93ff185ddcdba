import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { connectNode } from "../../client/node.ts";
import { SphereError } from "../../client/mod.ts";
import { RestFiles } from "../../client/rest-files.ts";
import { connectWeb } from "../../client/web.ts";
import { scratch, startNode } from "../e2e/harness.ts";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";

const hasCode = (code: string) => (error: unknown) => {
  assert.ok(error instanceof SphereError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

test("tasks run, are watched, listed and fail with a code, over HTTP/2 and over fetch", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const url = `http://${node.rpc}`;
  const overHttp2 = connectNode({ url });
  t.after(() => overHttp2.close());
  for (
    const [name, client] of [["http2", overHttp2], [
      "fetch",
      connectWeb({ url, restUrl: node.rest }),
    ]] as const
  ) {
    const first = await client.tasks.run("hello", { id: name });
    assert.equal(first.text(), "world");
    const task = await client.tasks.submit("hello", { id: `later-${name}` });
    const states: unknown[] = [];
    for await (const { event } of client.tasks.watch(task.id)) {
      states.push(event.case);
    }
    assert.ok(states.length > 0);
    assert.equal(
      new TextDecoder().decode(await client.tasks.output(task.id)),
      "world",
    );
    const ids = [];
    for await (const { id } of client.tasks.list()) ids.push(id);
    assert.ok(ids.includes(task.id) && ids.includes(name), ids.join());
    await assert.rejects(
      client.tasks.run("", { plugin: "demp" }),
      hasCode("plugin_not_found"),
    );
    await assert.rejects(client.tasks.get("missing"), hasCode("not_found"));
    await assert.rejects(client.payments.offer(), SphereError);
  }
});

test("files are put, read in parts, listed and removed, over Connect and over REST", async (t) => {
  const { requester, providers } = await startSwarm(t, 3);
  const content = randomBytes(3_000_000);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const client = connectNode({ url: `http://${requester.rpc}` });
  t.after(() => client.close());
  for (
    const [name, files] of [["connect", client.files], [
      "rest",
      new RestFiles({ url: requester.rest }),
    ]] as const
  ) {
    const policy = { dataShards: 2, parityShards: 1 };
    const stored = await files.put(`${name}/a b.bin`, content, {
      policy,
      contentType: "application/x-test",
    });
    assert.equal(stored.sha256, sha256);
    assert.deepEqual(await files.get(stored.name), new Uint8Array(content));
    const part = await files.get(stored.name, {
      start: 1_000_000,
      end: 1_000_010,
    });
    assert.deepEqual(
      part,
      new Uint8Array(content.subarray(1_000_000, 1_000_010)),
    );
    assert.equal(
      (await files.stat(stored.name)).contentType,
      "application/x-test",
    );
    const names = [];
    for await (const one of files.list(`${name}/`)) names.push(one.name);
    assert.deepEqual(names, [stored.name]);
    await files.remove(stored.name);
    await assert.rejects(files.stat(stored.name), hasCode("not_found"));
  }
  assert.equal(providers.length, 3);
});

test("a node that is not there is unreachable, which may be retried", async () => {
  const client = connectNode({ url: "http://127.0.0.1:9" });
  const unreachable = (error: unknown) => hasCode("unreachable")(error) && (error as SphereError).retryable;
  await assert.rejects(client.tasks.run("hello"), unreachable);
  await assert.rejects(
    new RestFiles({ url: "http://127.0.0.1:9" }).stat("a"),
    unreachable,
  );
  client.close();
});
