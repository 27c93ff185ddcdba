/** A node on Deno with the narrowest permissions that docs/security.md names, and with each of them left out. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test, type TestScope } from "../testing.ts";
import { post, scratch, until } from "./harness.ts";

const root = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
const deno = "Deno" in globalThis ? process.execPath : join(root, "node_modules/.bin/deno");

/** The values of the flags, as docs/security.md has them, for a node with this data directory that serves on loopback only. */
function narrowest(dataDir: string): Record<string, string> {
  const documented = readFileSync(join(root, "docs/security.md"), "utf8");
  const command = /```sh\n(deno run --allow-net[\s\S]*?)```/.exec(documented)?.[1];
  assert.ok(command, "docs/security.md shows the command");
  const flags = [...command.matchAll(/--allow-([a-z]+)(?:=(\S+))?/g)];
  return Object.fromEntries(flags.map(([, name, value = ""]) => [
    name,
    value.replaceAll("$PWD", root).replaceAll("/var/lib/velas-sphere", dataDir),
  ]));
}

interface Outcome {
  /** Undefined while it runs. */
  readonly code?: number;
  readonly rest?: string;
  readonly text: () => string;
}

/** Runs a node until it serves or ends. */
async function runNode(
  t: TestScope,
  { dataDir, permissions, args = [] }: {
    readonly dataDir: string;
    readonly permissions: Readonly<Record<string, string>>;
    readonly args?: readonly string[];
  },
): Promise<Outcome> {
  const flags = Object.entries(permissions).map(([name, value]) => `--allow-${name}${value === "" ? "" : `=${value}`}`);
  const main = [`--config=${root}/deno.json`, `${root}/src/main.ts`, "node", "--data-dir", dataDir];
  const listen = ["--rest-listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0", "--log-format", "json"];
  const child = spawn(deno, ["run", ...flags, "--no-prompt", "--no-check", "--quiet", ...main, ...listen, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const ended = once(child, "close");
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, "SIGKILL");
    await ended;
  });
  const text = () => lines.join("\n");
  const serving = new Promise<string>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (line.includes('"msg":"Serving"')) resolve((JSON.parse(line) as { rest: string }).rest);
      });
    }
  });
  return await Promise.race([
    serving.then((rest) => ({ rest, text })),
    ended.then(([code]) => ({ code: code as number, text })),
  ]);
}

test("a node on Deno runs with the permissions that the documentation names, narrowed as it says", async (t) => {
  const dataDir = join(scratch(t), "data");
  const { rest, text } = await runNode(t, { dataDir, permissions: narrowest(dataDir) });
  assert.ok(rest !== undefined, text());
  assert.equal((await post(`${rest}/task`, { id: "1", input: "hello" })).text, '{"id":"1","output":"world"}');
  for (const path of ["/readyz", "/metrics", "/v1/alerts", "/v1/config", "/v1/plugins", "/v1/docs"]) {
    const answer: Response = await fetch(rest + path);
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
  }
  assert.ok(!text().includes("NotCapable"), text());
});

for (const name of ["net", "read", "write", "env", "sys", "ffi"]) {
  test(`a node on Deno without --allow-${name} ends with an error that names it`, async (t) => {
    const dataDir = join(scratch(t), "data");
    mkdirSync(dataDir);
    const { [name]: left, ...permissions } = narrowest(dataDir);
    assert.notEqual(left, undefined);
    // Where it may not write, Deno looks at the folder above, too, and would name that.
    if (name === "write") permissions["read"] += `,${dirname(dataDir)}`;
    const { code, text } = await runNode(t, { dataDir, permissions });
    assert.notEqual(code ?? 0, 0, text());
    assert.match(text(), new RegExp(`Requires ${name} access .* run again with the --allow-${name} flag`));
    assert.ok(!text().includes("fault of the software"), text());
  });
}

test("without --allow-run a node on Deno serves, and says of a plugin that it cannot start why", async (t) => {
  const folder = scratch(t);
  const dataDir = join(folder, "data");
  mkdirSync(dataDir);
  const file = join(dataDir, "config.json");
  writeFileSync(file, JSON.stringify({ plugins: { external: [{ name: "started", command: ["/bin/true"] }] } }));
  const args = ["--config", file];
  const permissions = narrowest(dataDir);
  // Where the sockets of such plugins lie.
  for (const name of ["read", "write"]) permissions[name] += `,${tmpdir()}`;
  const { rest, text } = await runNode(t, { dataDir, permissions, args });
  assert.ok(rest !== undefined, text());
  assert.equal((await post(`${rest}/task`, { id: "1", input: "hello" })).text, '{"id":"1","output":"world"}');
  await until(() =>
    Promise.resolve(/Requires run access .* run again with the --allow-run flag/.test(text()) || undefined)
  );
});
