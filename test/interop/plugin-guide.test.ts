/**
 * Walks docs/plugin-guide.md: its commands are run as they stand there, from a new plugin to a task that another node is paid for. What
 * differs from a newcomer's walk: the program runs from source, and the ports are those that the market got. Rust's first build takes
 * minutes where its standard library is built too.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { commandLine, scratch, until } from "../e2e/harness.ts";
import { test, type TestScope } from "../testing.ts";

const execute = promisify(execFile);
const guide = readFileSync(new URL("../../docs/plugin-guide.md", import.meta.url), "utf8");

/** What the guide says below a heading, up to the next heading. */
function below(heading: string): string {
  const [, rest] = guide.split(`\n${heading}\n`);
  assert.ok(rest !== undefined, `the guide has the heading ${heading}`);
  return rest.split(/^##/m)[0]!;
}

/** The blocks of code in a part of the guide that are written in a language. */
const blocks = (part: string, language: string): string[] =>
  [...part.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, block]) => block!.trim());

/** What the guide does with a language. */
interface Walk {
  readonly heading: string;
  readonly plugin: string;
  /** What its blocks of code are marked with, and the file that they go into. */
  readonly code: string;
  readonly source: string;
}

const WALKS: readonly Walk[] = [
  { heading: "### Rust", plugin: "my-rust", code: "rust", source: "src/lib.rs" },
  { heading: "### Python", plugin: "my-python", code: "python", source: "plugin.py" },
  { heading: "### Go", plugin: "my-go", code: "go", source: "main.go" },
];

/** Puts the guide's line of code in the place of the line that begins most like it. */
function edit(file: string, line: string): void {
  const likeness = (other: string) => {
    const [a, b] = [line.toLowerCase(), other.trim().toLowerCase()];
    let length = 0;
    while (length < a.length && a[length] === b[length]) length++;
    return length;
  };
  const lines = readFileSync(file, "utf8").split("\n");
  const best = lines.reduce((found, other, index) => likeness(other) > likeness(lines[found]!) ? index : found, 0);
  lines[best] = /^\s*/.exec(lines[best]!)![0] + line;
  writeFileSync(file, lines.join("\n"));
}

interface Market {
  readonly providers: readonly { readonly rpc: readonly string[]; readonly rest: string }[];
  readonly requester: { readonly rest: string };
}

/** Starts what `npm start` starts, with the arguments of the guide's line. */
async function startMarket(t: TestScope, options: { cwd: string; args: string[] }): Promise<Market> {
  const [command, args] = commandLine(["dev", "--paid", "--json", ...options.args]);
  const child = spawn(command, args, { cwd: options.cwd, stdio: ["ignore", "pipe", "pipe"] });
  const errors: string[] = [];
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, "SIGINT");
    await ended;
  });
  createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  return JSON.parse(
    await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).once("line", resolve);
      ended.then((code) => reject(new Error(`The market ended with ${code}: ${errors.join("\n")}`)));
    }),
  ) as Market;
}

for (const { heading, plugin, code, source } of WALKS) {
  test(`docs/plugin-guide.md leads to a task that another node is paid for: ${heading.slice(4)}`, async (t) => {
    const folder = scratch(t);
    // Where the guide's reader has the clone, and an executable on the path.
    const clone = join(folder, "velas-sphere");
    mkdirSync(join(clone, "dist"), { recursive: true });
    const [program, args] = commandLine([]);
    const quoted = [program, ...args].map((word) => `'${word}'`).join(" ");
    writeFileSync(join(clone, "dist/velas-sphere"), `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
    const env = { ...process.env, PATH: `${join(clone, "dist")}:${process.env["PATH"]}` };
    const sh = async (script: string) => (await execute("bash", ["-ec", script], { cwd: folder, env })).stdout;

    // Write it.
    const part = below(heading);
    const [begin, test] = blocks(part, "sh");
    await sh(begin!);
    for (const line of blocks(part, code)) edit(join(folder, plugin, source), line);
    const [, now, before] = /`("[^`]+")`\s+in\s+place\s+of\s+`("[^`]+")`/.exec(part)!;
    const cases = join(folder, plugin, "cases.json");
    writeFileSync(cases, readFileSync(cases, "utf8").replace(before!, () => now!));
    const tested = await sh(test!);
    assert.match(tested, /^passed {2}1 greet/m);
    assert.doesNotMatch(tested, /^failed/m);

    // Run a market. A plugin over gRPC is named as it starts.
    const starts = blocks(below("## 3. Run a market"), "sh");
    const start = starts.find((line) => line.includes(plugin)) ?? starts[0]!;
    const words = [...start.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    assert.deepEqual(words.slice(0, 2), ["npm", "start"]);
    const { providers: [provider], requester } = await startMarket(t, { cwd: clone, args: words.slice(3) });
    const here = (line: string) =>
      line.replaceAll("my-rust", plugin).replaceAll("http://127.0.0.1:3000", provider!.rest)
        .replaceAll("127.0.0.1:8081", provider!.rpc[0]!).replaceAll("http://127.0.0.1:3001", requester.rest);

    // Offer it.
    const [installs, tries] = blocks(below("## 4. Offer it"), "sh");
    for (const line of installs!.split("\n").filter((line) => line.includes(plugin))) await sh(here(line));
    const [list, own] = tries!.split("\n");
    assert.match(await sh(here(list!)), new RegExp(`^${plugin}@[\\d.]+ +ready`, "m"));
    assert.equal(await sh(here(own!)), "HELLO, ADA!");

    // Get paid.
    const [task, balances] = blocks(below("## 5. Get paid"), "sh");
    const [totals, channels] = balances!.split("\n");
    const earned = async () => BigInt(/ earned +0x\w+ +(\d+) /.exec(await sh(here(totals!)))![1]!);
    const already = await earned();
    assert.equal(await sh(here(task!)), "HELLO, ADA!");
    const price = await until(async () => (await earned()) - already || undefined);
    assert.equal(price, 10n ** 15n, "a thousandth of a coin, the provider's minimum");
    assert.match(await sh(here(channels!)), /payer +open/);
  });
}
