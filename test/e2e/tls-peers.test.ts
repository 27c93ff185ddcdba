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
  const target = provider.rpc;
  assert.match(target, /^https:/);
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
    ["task", "run", "demo", "greet", "--target", target.replace("https://", ""), "x", "--url", stranger.rest],
  );
  assert.notEqual(plain.code, 0);
  assert.match(plain.stderr, /\(target_(?:unreachable|misbehaved)\)/);
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

test("a node makes its own certificate where other machines reach it, and others trust that", async (t) => {
  const folder = scratch(t);
  const env = { VELAS_SPHERE_REST_TOKEN: "0123456789abcdef" };
  const provider = await startNode(t, {
    dataDir: join(folder, "provider"),
    config: {
      node: { ownCertificate: true, open: true, hostNames: ["node.example"] },
      rest: { token: env.VELAS_SPHERE_REST_TOKEN },
    },
    args: ["--rpc-listen", "0.0.0.0:0", "--rest-listen", "0.0.0.0:0"],
  });
  const { port } = new URL(provider.rpc);
  const tlsCaFile = join(provider.dataDir, "tls", "own.crt");
  const config = { rpc: { tlsCaFile } };
  const friend = await startNode(t, { dataDir: join(folder, "friend"), config });
  const target = `https://127.0.0.1:${port}`;
  const ran = await run(["task", "run", "demo", "greet", "hello", "--target", target, "--url", friend.rest]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /world/);
  assert.match(provider.rest, /^https:/);
  const url = provider.rest.replace("0.0.0.0", "127.0.0.1");
  const asked = await run(["info", "--url", url], { env: { ...env, NODE_EXTRA_CA_CERTS: tlsCaFile } });
  assert.equal(asked.code, 0, asked.stderr);
  assert.match(asked.stdout, new RegExp(provider.nodeId, "i"));
});
