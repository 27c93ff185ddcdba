import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { test } from "../testing.ts";
import { commandLine, run, scratch } from "./harness.ts";

interface Answer {
  readonly chain: { readonly url: string };
  readonly providers: readonly { readonly nodeId: string; readonly rpc: readonly string[]; readonly rest: string }[];
  readonly requester: { readonly rest: string };
  readonly tasks: readonly { readonly output: string; readonly charged: string }[];
  readonly file: { readonly shards: number; readonly charged: string };
  readonly balances: readonly Readonly<
    Record<"name" | "before" | "after" | "inChannels" | "charged" | "paid", string>
  >[];
}

test("dev --paid has a task and a file paid on a chain of its own, shows where the money went, and leaves nothing behind", async () => {
  const ended = await run(["dev", "--paid", "--exit", "--json"]);
  assert.equal(ended.code, 0, ended.stderr);
  const { chain, providers, tasks, file, balances } = JSON.parse(ended.stdout) as Answer;
  assert.equal(providers.length, 3);
  assert.ok(tasks.every(({ output }) => output === "world"));
  const prices = tasks.map(({ charged }) => BigInt(charged));
  assert.ok(prices[0]! > 0n && prices[0]! < prices[1]! && prices[1]! < prices[2]!, "the prices differ");
  assert.equal(file.shards, 3);
  assert.ok(BigInt(file.charged) > 0n);
  const requester = balances.at(-1)!;
  const earned = balances.slice(0, -1);
  const total = (column: "charged" | "paid") => earned.reduce((sum, line) => sum + BigInt(line[column]), 0n);
  assert.equal(total("charged"), -BigInt(requester.charged), "both sides have reckoned the same");
  assert.equal(total("paid"), -BigInt(requester.paid), "what the requester has paid is what providers have claimed");
  for (const { name, before, after } of earned) assert.ok(BigInt(after) > BigInt(before), `${name} has earned`);
  assert.ok(BigInt(requester.after) + BigInt(requester.inChannels) < BigInt(requester.before));
  await assert.rejects(fetch(chain.url), "the chain is gone");
});

test("dev --paid if-possible says why there is no chain and goes on free of charge, as --free does without a word", async () => {
  const env = { ANVIL: "/nowhere/anvil" };
  const refused = await run(["dev", "--paid", "--exit"], { env });
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /ANVIL names \/nowhere\/anvil/);
  const free = await run(["dev", "--paid", "if-possible", "--exit", "--json"], { env });
  assert.equal(free.code, 0, free.stderr);
  assert.match(free.stderr, /Free of charge, since there is no chain to pay on\. ANVIL names/);
  const chosen = await run(["dev", "--paid", "if-possible", "--free", "--exit", "--json"]);
  assert.equal(chosen.code, 0, chosen.stderr);
  // Other tests may have the ports that it would like.
  assert.equal(chosen.stderr.replaceAll(/^note: port \d+ is taken, so the [\w-]+ listens on a free one\n/gm, ""), "");
  for (const { stdout } of [free, chosen]) {
    const answer = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(answer["chain"], undefined);
    assert.equal((answer["file"] as { shards: number }).shards, 6);
  }
});

test("dev --paid runs the plugins that it is given, serves until it is interrupted, and then ends its chain and its nodes", async (t) => {
  const [program, served] = commandLine(["plugin"]);
  const external = JSON.stringify([{ name: "mine", command: [program, ...served] }]);
  const [command, args] = commandLine(["dev", "--paid", "--json", "--plugins-external", external]);
  const child = spawn(command, args, { cwd: tmpdir(), stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  t.after(() => child.exitCode === null && child.signalCode === null && process.kill(child.pid!, "SIGTERM"));
  const errors: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    ended.then((code) => reject(new Error(`It ended with ${code}: ${errors.join("\n")}`)));
  });
  const { chain, providers, requester } = JSON.parse(line) as Answer;
  const offer = await (await fetch(`${providers[1]!.rest}/.well-known/velas-sphere/offer`)).json() as {
    offer: { provider: string };
  };
  assert.equal(offer.offer.provider, providers[1]!.nodeId);

  const paid = await fetch(`${requester.rest}/v1/tasks/run`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ plugin: "mine", function: "greet", input: "hello", target: providers[0]!.rpc[0] }),
  });
  assert.equal((await paid.json() as { output: string }).output, "world", "a plugin outside the first provider");
  process.kill(child.pid!, "SIGINT");
  assert.equal(await ended, 0, errors.join("\n"));
  await assert.rejects(fetch(chain.url));
  await assert.rejects(fetch(requester.rest));
});

test("dev --paid refuses the data of an earlier chain", async (t) => {
  const folder = scratch(t);
  mkdirSync(join(folder, "requester"));
  const ended = await run(["dev", "--paid", "--exit", "--data-dir", folder]);
  assert.notEqual(ended.code, 0);
  assert.match(ended.stderr, /name a new folder/);
});
