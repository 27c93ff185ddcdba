import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { cliReference, EXIT, EXIT_CODES, manPage } from "../../src/cli/mod.ts";
import { EXIT_MEANINGS } from "../../src/cli/exit-codes.ts";
import { allExamples } from "../../src/cli/reference.ts";
import { VERSION } from "../../src/core/mod.ts";
import { startFake } from "./fake-node.ts";
import { runHere, runProcess, start } from "./harness.ts";
import { parseOnly } from "./parse-only.ts";

/** The words of every command that does something. */
const COMMANDS = [...new Set(allExamples().map(({ command }) => command))].map((path) => path.split(" ").slice(1));

test("every command has help with a description and an example", async () => {
  assert.ok(COMMANDS.length >= 24);
  for (const words of COMMANDS) {
    const { code, stdout, stderr } = await runHere([...words, "--help"]);
    assert.equal(code, 0);
    assert.equal(stderr, "");
    const name = words.join(" ");
    assert.match(stdout, new RegExp(`^Usage: velas-sphere ${name}`), name);
    assert.match(stdout, new RegExp(`\\nExamples:\\n  .*velas-sphere ${name}`), name);
  }
});

/** What only writes text of its own, or is no question with an answer. */
const WITHOUT_JSON = ["node", "plugin", "plugins new", "plugins pack", "config schema", "completions"];

test("every command that answers has --json", async () => {
  for (const words of COMMANDS) {
    const name = words.join(" ");
    if (WITHOUT_JSON.some((each) => name === each || name.startsWith(`${each} `))) continue;
    assert.match((await runHere([...words, "--help"])).stdout, /^ +--json /m, name);
  }
});

test("every example parses: its command, options and arguments are there", async () => {
  for (const { line } of allExamples()) {
    // The part that is ours: before a redirection, after a pipe, in a substitution.
    const ours = [...line.matchAll(/velas-sphere((?: +(?:'[^']*'|[^\s()<>|'$]+))*)/g)].map((match) => match[1]!);
    assert.notEqual(ours.length, 0, line);
    for (const text of ours) {
      const words = [...text.matchAll(/'([^']*)'|([^\s']+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
      if (words.join(" ") === "task watch") words.push("id"); // its id is the substitution beside it
      if (words[0] === undefined) continue; // the name of a completion file
      await parseOnly(words, line);
    }
  }
});

test("every command of docs/plugin-guide.md parses, and each language of it has a template", async () => {
  const guide = readFileSync(new URL("../../docs/plugin-guide.md", import.meta.url), "utf8");
  const lines = [...guide.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block]) => block!.trim().split("\n"));
  const ours = lines.flatMap((line) => {
    const words = [...line.matchAll(/'([^']*)'|([^\s']+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    if (words[0] === "velas-sphere") return [{ line, words: words.slice(1) }];
    return line.startsWith("npm start -- ") ? [{ line, words: ["dev", ...words.slice(3)] }] : [];
  });
  assert.ok(ours.length > 10);
  for (const { line, words } of ours) await parseOnly(words, line);
  const begun = ours.flatMap(({ words }) => words[0] === "plugins" && words[1] === "new" ? [words[3]] : []);
  assert.deepEqual(begun, ["rust", "go", "python"]);
});

test("the man page is what the commands generate, with macros that every man knows", () => {
  const path = new URL("../../docs/man/velas-sphere.1", import.meta.url);
  const page = readFileSync(path, "utf8");
  assert.equal(page, manPage());
  for (const line of page.split("\n")) assert.doesNotMatch(line, /^\.(?!TH|SH|SS|TP|PP|B |I |nf|fi|RS|RE|\\")/, line);
});

test("docs/cli.md is what the commands generate (npm run gen writes it)", () => {
  assert.equal(readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8"), cliReference());
});

test("every exit code is one of the table's, and has a meaning", () => {
  const codes = new Set<number>(Object.values(EXIT));
  for (const code of Object.values(EXIT_CODES)) assert.ok(codes.has(code));
  assert.deepEqual(Object.keys(EXIT_MEANINGS), Object.keys(EXIT));
  assert.ok(!Object.values<number>(EXIT_CODES).includes(EXIT.ok));
});

test("a mistyped command or option says what was likely meant", async () => {
  const cases: [string[], string][] = [
    [["nod"], 'error: Unknown command "nod": did you mean node? (invalid_argument)\n'],
    [["task", "lst"], 'error: Unknown command "lst": did you mean list? (invalid_argument)\n'],
    [
      ["task", "run", "--timout", "3"],
      'error: Unknown option "--timout": did you mean --timeout? (invalid_argument)\n',
    ],
    [
      ["node", "--rpc-lisen", "x"],
      'error: Unknown option "--rpc-lisen": did you mean --rpc-listen? (invalid_argument)\n',
    ],
    [["xyzzy"], 'error: Unknown command "xyzzy": see velas-sphere --help (invalid_argument)\n'],
    [["task", "get"], 'error: Missing required argument "id": see velas-sphere task get --help (invalid_argument)\n'],
  ];
  for (const [args, stderr] of cases) assert.deepEqual(await runHere(args), { code: 2, stdout: "", stderr });
});

test("option values out of range are refused with what they must be", async () => {
  for (
    const [option, value, words] of [
      ["--timeout", "soon", /must be a duration such as 30s/],
      ["--timeout", "0", /must be a duration/],
      ["--memory", "64M", /must be a size such as 64MiB/],
      ["--priority", "101", /must be a whole number from -100 to 100/],
      ["--priority", "1.5", /must be a whole number/],
    ] as const
  ) {
    const { code, stderr } = await runHere(["task", "run", option, value]);
    assert.equal(code, 2, option);
    assert.match(stderr, words);
  }
  assert.equal((await runHere(["task", "run", "--priority", "-100", "--url", "127.0.0.1:1"])).code, 10);
  assert.equal((await runHere(["task", "list", "--state", "asleep"])).code, 2);
});

test("without a command the help is shown; a group without one is a mistake", async () => {
  const { code, stdout } = await runHere([]);
  assert.equal(code, 0);
  for (const words of [/Serve:\n/, /Ask a node:\n/, /This machine:\n/, /Exit codes:\n/, /Try: velas-sphere dev/]) {
    assert.match(stdout, words);
  }
  const group = await runHere(["task"]);
  assert.equal(group.code, 2);
  assert.match(group.stderr, /Usage: velas-sphere task/);
});

test("help and version are told in every usual way", async () => {
  assert.equal((await runHere(["--version"])).stdout, `${VERSION}\n`);
  assert.equal((await runHere(["-V"])).stdout, `${VERSION}\n`);
  assert.match(
    (await runHere(["version"])).stdout,
    new RegExp(`^velas-sphere ${VERSION} \\((Node|Deno) [^ ]+, [a-z0-9]+-[a-z0-9]+\\)\n$`),
  );
  assert.equal(JSON.parse((await runHere(["version", "--json"])).stdout).version, VERSION);
  assert.match((await runHere(["help", "node"])).stdout, /Usage: velas-sphere node/);
  assert.match((await runHere(["-h"])).stdout, /Usage: velas-sphere/);
});

test("an error can be had as JSON, and with its causes", async () => {
  const args = ["task", "get", "t1", "--url", "127.0.0.1:1"];
  const json = await runHere([...args, "--json"]);
  assert.equal(JSON.parse(json.stderr).error.code, "target_unreachable");
  assert.equal(JSON.parse((await runHere(["nod", "--json"])).stderr).error.code, "invalid_argument");
  const verbose = await runHere([...args, "--verbose"]);
  assert.match(verbose.stderr, /^error: .*\nNodeError: /);
  assert.match(verbose.stderr, /caused by: .*ECONNREFUSED/s);
});

test("there are colours on a terminal, none in a pipe, and NO_COLOR and FORCE_COLOR decide otherwise", async () => {
  const colored = (text: string): boolean => text.includes("\x1b[");
  const shown = async (terminal: boolean, env: Record<string, string>): Promise<boolean[]> => {
    const help = await runHere(["--help"], { terminal, env });
    const error = await runHere(["nod"], { terminal, env });
    return [colored(help.stdout), colored(error.stderr)];
  };
  assert.deepEqual(await shown(true, {}), [true, true]);
  assert.deepEqual(await shown(false, {}), [false, false]);
  assert.deepEqual(await shown(true, { NO_COLOR: "1" }), [false, false]);
  assert.deepEqual(await shown(true, { TERM: "dumb" }), [false, false]);
  assert.deepEqual(await shown(false, { FORCE_COLOR: "1" }), [true, true]);
});

test("a reader that leaves early ends the program quietly", async (t) => {
  const { url } = await startFake(t, { "POST /v1/run/demo/echo": { body: new Uint8Array(8 << 20).fill(0x61) } });
  const child = start(["task", "run", "demo", "echo", "--url", url]);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  child.stdout.once("data", () => child.stdout.destroy());
  const [code] = await once(child, "close");
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
});

test("as a process it ends with the code and writes no colours into pipes", async () => {
  const bad = await runProcess(["nod"]);
  assert.deepEqual(bad, {
    code: 2,
    stdout: "",
    stderr: 'error: Unknown command "nod": did you mean node? (invalid_argument)\n',
  });
  const help = await runProcess(["node", "--help"]);
  assert.equal(help.code, 0);
  assert.ok(!help.stdout.includes("\x1b["));
  assert.match(help.stdout, /--rpc-listen <host:port,\.\.\.>/);
});
