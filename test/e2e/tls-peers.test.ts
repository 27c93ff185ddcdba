/** Nodes that call each other with TLS. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { TEST_CERT, TEST_KEY } from "../rpc/tls-keys.ts";
import { test } from "../testing.ts";
import { get, post, run, scratch, startNode, taskThat, until } from "./harness.ts";

test("tasks, files and probes go to a provider that speaks TLS, if its certificate is trusted", async (t) => {
  const folder = scratch(t);
  const tlsCertFile = join(folder, "provider.crt");
  const tlsKeyFile = join(folder, "provider.key");
  writeFileSync(tlsCertFile, TEST_CERT);
  writeFileSync(tlsKeyFile, TEST_KEY);
  const provider = await startNode(t, {
    dataDir: join(folder, "provider"),
    config: { rpc: { tlsCertFile, tlsKeyFile } },
  });
  const target = `https://${provider.rpc}`;
  const [friend, stranger] = await Promise.all([
    startNode(t, {
      dataDir: join(folder, "friend"),
      config: { rpc: { tlsCaFile: tlsCertFile }, peers: { static: [target] } },
    }),
    startNode(t, { dataDir: join(folder, "stranger") }),
  ]);

  const peer = await until(async () => {
    const { peers } = await get<{ peers: { target: string; reachability: string; nodeId?: string }[] }>(
      `${friend.rest}/v1/peers`,
    );
    return peers.find(({ reachability }) => reachability === "reachable");
  });
  assert.deepEqual([peer.target, peer.nodeId], [target, provider.nodeId]);

  const { status, text } = await post(`${friend.rest}/v1/tasks`, {
    plugin: "demo",
    function: "greet",
    input: "hello",
    any: {},
  });
  assert.equal(status, 202, text);
  const { id } = JSON.parse(text) as { id: string };
  const task = await taskThat(({ state }) => state === "succeeded", { rest: friend.rest, id });
  assert.equal(task.target, target);

  const content = randomBytes(300_000);
  const file = join(folder, "content");
  writeFileSync(file, content);
  const put = await run(["file", "put", file, "--provider", target, "--url", friend.rest, "--json"]);
  assert.equal(put.code, 0, put.stderr);
  const { id: fileId } = JSON.parse(put.stdout) as { id: string };
  const answer = await fetch(`${friend.rest}/v1/files/${fileId}/content`);
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), content);

  const shown = await run(["peers", "show", target, "--url", friend.rest]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, new RegExp(provider.nodeId, "i"));

  const refused = await run([
    "task",
    "run",
    "demo",
    "greet",
    "--target",
    target,
    "x",
    "--url",
    stranger.rest,
  ]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /Cannot trust the certificate of https:.*rpc\.tlsCaFile.*target_unreachable/);
  const plain = await run(
    ["task", "run", "demo", "greet", "--target", provider.rpc, "x", "--url", stranger.rest],
  );
  assert.match(plain.stderr, /target_unreachable/);
});

test("a node refuses to start with a file of issuers that has none", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "issuers.pem");
  writeFileSync(file, "no certificate");
  const args = ["--rpc-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0", "--rpc-tls-ca-file", file];
  const { code, stderr, stdout } = await run(["node", "--data-dir", join(folder, "data"), ...args]);
  assert.notEqual(code, 0);
  assert.match(stderr + stdout, /issuers\.pem has no certificates in PEM: it has no CERTIFICATE block/);
});
