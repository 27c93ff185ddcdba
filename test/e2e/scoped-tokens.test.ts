import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { type NodeProcess, run, scratch, startNode, until } from "./harness.ts";
import { test, type TestScope } from "../testing.ts";

const MAIN = "the-token-of-this-test";

/** Draws a token with the CLI and adds it to a file. */
async function draw(file: string, name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(["token", "new", "--name", name, "--file", file, ...args]);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

function hangUp({ child }: NodeProcess): void {
  process.kill(child.pid!, "SIGHUP");
}

async function start(t: TestScope) {
  const dataDir = join(scratch(t), "data");
  const file = join(dirname(dataDir), "tokens.json");
  const tokens = {
    ci: await draw(file, "ci", "--scope", "tasks"),
    cam: await draw(file, "cam", "--scope", "files"),
    watch: await draw(file, "watch", "--scope", "read"),
  };
  const config = { rest: { token: MAIN, scopedTokensFile: "tokens.json" } };
  const node = await startNode(t, { dataDir, config });
  const ask = async (token: string, path: string, init: RequestInit = {}) => {
    const answer = await fetch(node.rest + path, { ...init, headers: { authorization: `Bearer ${token}` } });
    const text = await answer.text();
    return { status: answer.status, text };
  };
  return { file, tokens, node, ask };
}

test("tokens that the CLI made do what their scopes say, and no more", async (t) => {
  const { tokens, node, ask } = await start(t);
  const env = { VELAS_SPHERE_URL: node.rest, VELAS_SPHERE_TOKEN: tokens.ci };
  const ran = await run(["task", "run", "demo", "greet", "hello"], { env });
  assert.deepEqual([ran.code, ran.stdout.trim()], [0, "world"], ran.stderr);
  const refused = await run(["file", "ls"], { env });
  assert.match(refused.stderr, /token "ci" lacks the scope read or files/);
  assert.notEqual(refused.code, 0);

  const task = { method: "POST", body: '{"id":"1","input":"hello"}' };
  assert.deepEqual(await ask(tokens.ci, "/task", task), { status: 200, text: '{"id":"1","output":"world"}' });
  for (const token of [tokens.cam, tokens.watch]) assert.equal((await ask(token, "/task", task)).status, 403);
  assert.equal((await ask(MAIN, "/v1/config")).status, 200);
  for (const token of Object.values(tokens)) assert.equal((await ask(token, "/v1/config")).status, 403);
  assert.equal((await ask(`${tokens.ci}x`, "/v1/tasks")).status, 401);

  const metrics = (await ask(tokens.watch, "/metrics")).text;
  assert.match(metrics, /velas_http_token_requests_total\{token="cam",status="403"\} 2/);
  for (const secret of [MAIN, ...Object.values(tokens)]) {
    assert.ok(!metrics.includes(secret) && !node.log.join("").includes(secret));
  }
  assert.deepEqual(await node.stop(), { code: 0, signal: null });
});

test("SIGHUP takes tokens on and off, and a wrong file changes nothing", async (t) => {
  const { file, tokens, node, ask } = await start(t);
  const late = await draw(file, "late", "--scope", "read");
  assert.equal((await ask(late, "/v1/tasks")).status, 401);
  hangUp(node);
  await until(async () => (await ask(late, "/v1/tasks")).status === 200 || undefined);
  assert.ok(node.log.some((line) => line.includes('"applied":["rest.scopedTokensFile"]')), node.log.join("\n"));

  writeFileSync(file, '{"tokens":[{"name":"late"}]}');
  hangUp(node);
  await until(() => Promise.resolve(node.log.some((line) => line.includes("was not taken over")) || undefined));
  assert.equal((await ask(late, "/v1/tasks")).status, 200);

  const stream = await fetch(`${node.rest}/v1/events`, { headers: { authorization: `Bearer ${tokens.watch}` } });
  writeFileSync(file, '{"tokens":[]}');
  hangUp(node);
  await until(async () => (await ask(late, "/v1/tasks")).status === 401 || undefined);
  await stream.text(); // it ends
  assert.equal((await ask(tokens.ci, "/v1/tasks")).status, 401);
  assert.equal((await ask(MAIN, "/v1/tasks")).status, 200);

  writeFileSync(`${node.dataDir}.config.json`, JSON.stringify({ rest: { token: MAIN } }));
  const reloaded = JSON.parse((await ask(MAIN, "/v1/config/reload", { method: "POST" })).text);
  assert.deepEqual(reloaded, { applied: [], needRestart: ["rest.scopedTokensFile"] });
});

test("a node without tokens takes the file while it runs, and a token that is over is refused by its name", async (t) => {
  const dataDir = join(scratch(t), "data");
  const file = join(dirname(dataDir), "tokens.json");
  const node = await startNode(t, { dataDir, config: {} });
  assert.equal((await fetch(`${node.rest}/v1/tasks`)).status, 200);
  const token = await draw(file, "brief", "--scope", "read", "--expires", "30d");
  const headers = { authorization: `Bearer ${token}` };
  writeFileSync(`${dataDir}.config.json`, JSON.stringify({ rest: { scopedTokensFile: file } }));
  hangUp(node);
  await until(async () => (await fetch(`${node.rest}/v1/tasks`)).status === 401 || undefined);
  assert.equal((await fetch(`${node.rest}/v1/tasks`, { headers })).status, 200);

  const entries = JSON.parse(readFileSync(file, "utf8"));
  entries.tokens[0].expiresAt = new Date(Date.now() - 1000).toISOString();
  writeFileSync(file, JSON.stringify(entries));
  hangUp(node);
  const over = await until(async () => {
    const answer = await fetch(`${node.rest}/v1/tasks`, { headers });
    return answer.status === 401 ? await answer.json() : undefined;
  });
  assert.match(over.detail, /"brief" expired at/);
});
