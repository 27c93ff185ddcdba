import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { ANONYMOUS, type Log, NodeError, noMetrics, readAsset, silentLog, toNodeError } from "../core/mod.ts";
import type { Plugins } from "../plugins/mod.ts";
import { integerOption, withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { templateFiles, TEMPLATES } from "./plugin-templates.ts";
import { printable } from "./terminal.ts";
import { unreadable } from "./unreadable.ts";

/** One call that `plugins test` makes, and what it must give. */
interface Case {
  readonly function: string;
  readonly input?: string;
  readonly inputBase64?: string;
  readonly output?: string;
  readonly outputBase64?: string;
  /** The code of the error that it must end with. */
  readonly error?: string;
  /** The most instructions that it may spend; more ends it with `budget_exceeded`. */
  readonly instructions?: number;
}

interface Outcome {
  readonly name: string;
  readonly passed: boolean;
  readonly instructions: number;
  /** What was wrong with it. */
  readonly problem?: string;
}

const MEMORY_BYTES = 64 << 20;
const OUTPUT_BYTES = 16 << 20;
const INSTRUCTIONS = 100_000_000_000;
const SHOWN = 200;
/** What the program under test is called here. */
const PROGRAM = "program";

/** The commands of `velas-sphere plugins` for whoever writes a plugin; they need no node. */
export function addPluginAuthorCommands(plugins: Command, cli: CliContext): void {
  withExamples(
    plugins.command("new").summary("begin a plugin").argument("<folder>", "a folder that is not there yet")
      .description(
        "Write a plugin that greets, counts and fails, with its manifest, test cases and build script, to begin from.",
      )
      .addOption(new Option("--lang <language>", "what to write it in").choices(Object.keys(TEMPLATES)).default("rust"))
      .action((folder: string, { lang }: { lang: string }) => begin(cli, folder, lang)),
    ["velas-sphere plugins new --lang go my-plugin", "README.md says how to build it"],
  );

  withExamples(
    plugins.command("pack").summary("put a manifest into a module").argument("<module>", "a .wasm file")
      .description(
        "Put a manifest into a WASM module, so that one file is the whole plugin. Its SHA-256 is its name everywhere.",
      )
      .requiredOption("--manifest <file>", "the manifest, JSON")
      .requiredOption("--output-file <file>", "where to write the plugin")
      .action((module: string, flags: { manifest: string; outputFile: string }) => pack(cli, module, flags)),
    [
      "velas-sphere plugins pack built.wasm --manifest manifest.json --output-file my-plugin.wasm",
      "checked, then written",
    ],
  );

  withExamples(
    withOutputOptions(
      plugins.command("test").summary("run a plugin's cases here").argument("<plugin>", "a .wasm file, or a program"),
    )
      .description(
        "Load a plugin as a node would, run its cases, and show what each one spends. No node is needed. A program is a plugin " +
          "over gRPC; it is started as plugins.external starts it, and has no count of instructions. What it prints to stderr is shown.",
      )
      .option("--cases <file>", "the cases, JSON; by default cases.json beside the plugin")
      .option("--timeout <ms>", "the longest run of a case, in milliseconds", integerOption(1, 600_000), 30_000)
      .action((module: string, flags: { cases?: string; timeout: number; json?: boolean }) =>
        runCases(cli, module, flags)
      ),
    ["velas-sphere plugins test my-plugin.wasm", "passed and failed cases, with instructions"],
    ["velas-sphere plugins test my-plugin/run.sh", "a plugin over gRPC"],
  );
}

async function begin(cli: CliContext, folder: string, language: string): Promise<void> {
  const path = resolve(cli.cwd, folder);
  const name = basename(path).toLowerCase().replace(/[^a-z0-9-]+/g, "-").replace(/^-+|-+$/g, "");
  if (!/^[a-z]/.test(name)) {
    throw new NodeError(
      "invalid_argument",
      `A plugin's folder is named after it and begins with a letter, not "${basename(path)}"`,
    );
  }
  try {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path);
  } catch (cause) {
    const taken = (cause as NodeJS.ErrnoException).code === "EEXIST";
    throw new NodeError(
      taken ? "already_exists" : "storage_failed",
      taken ? `${path} is there already: name another folder` : `Cannot make ${path}: ${(cause as Error).message}`,
      { cause },
    );
  }
  const files = templateFiles(language, name, readAsset);
  for (const { path: file, content, executable } of files) {
    await mkdir(dirname(join(path, file)), { recursive: true });
    await writeFile(join(path, file), content, { mode: executable ? 0o755 : 0o644 });
  }
  cli.out.line(`Wrote ${files.length} files to ${printable(path)}; README.md says how to go on`);
}

async function pack(
  cli: CliContext,
  module: string,
  { manifest, outputFile }: { manifest: string; outputFile: string },
): Promise<void> {
  const { packPlugin } = await import("../plugins/mod.ts");
  const packed = packPlugin(await read(cli, module), await read(cli, manifest));
  // Only what a node would take leaves this place.
  const { name, version, sha256 } = await withHost((host) => host.installBytes(packed));
  await writeFile(resolve(cli.cwd, outputFile), packed);
  cli.out.line(`${printable(name)}@${printable(version)}, ${packed.length} bytes, SHA-256 ${sha256}`);
}

async function runCases(
  cli: CliContext,
  module: string,
  flags: { cases?: string; timeout: number; json?: boolean },
): Promise<void> {
  const path = resolve(cli.cwd, module);
  const isProgram = !path.endsWith(".wasm");
  const bytes = await read(cli, module);
  const file = flags.cases ?? join(dirname(path), "cases.json");
  const cases = parseCases(await read(cli, file), file);
  const outcomes: Outcome[] = [];
  const timeoutMs = flags.timeout;
  if (isProgram) {
    await withHost(async (host) => {
      for (const [index, item] of cases.entries()) {
        outcomes.push(await runCase(host, PROGRAM, { item, index, timeoutMs }));
        const { ready, problem } = host.get(PROGRAM);
        if (!ready && index === 0) throw new NodeError("plugin_unavailable", `${printable(path)}: ${problem}`);
      }
    }, { program: path, log: printed(cli) });
  } else {
    for (const [index, item] of cases.entries()) {
      // Each in an instance that nothing ran in before, so that the count is what anybody else would count.
      const run = async (host: Plugins) =>
        await runCase(host, (await host.installBytes(bytes)).sha256, { item, index, timeoutMs });
      outcomes.push(await withHost(run));
    }
  }
  const failed = outcomes.filter(({ passed }) => !passed);
  if (flags.json === true) cli.out.line(JSON.stringify({ cases: outcomes }));
  else {
    for (const { name, passed, instructions, problem } of outcomes) {
      const { green, red } = cli.out.colors;
      // What a failed call spent is not known.
      const spent = isProgram || instructions === 0 ? "" : `  ${instructions} instructions`;
      cli.out.line(`${passed ? green("passed") : red("failed")}  ${printable(name)}${spent}`);
      if (problem !== undefined) cli.out.line(`        ${printable(problem)}`);
    }
  }
  if (failed.length > 0) {
    throw new NodeError("plugin_failed", `${failed.length} of ${outcomes.length} cases failed`);
  }
}

async function runCase(
  host: Plugins,
  plugin: string,
  { item, index, timeoutMs }: { item: Case; index: number; timeoutMs: number },
): Promise<Outcome> {
  const input = bytesOf(item.input, item.inputBase64) ?? new Uint8Array(0);
  const name = `${index + 1} ${item.function}`;
  try {
    const { output, usage: { instructions } } = await host.execute({
      plugin,
      function: item.function,
      requester: ANONYMOUS,
      input,
      contentType: "",
      limits: {
        timeoutMs,
        memoryBytes: MEMORY_BYTES,
        outputBytes: OUTPUT_BYTES,
        instructions: item.instructions ?? INSTRUCTIONS,
      },
      signal: new AbortController().signal,
    });
    if (item.error !== undefined) {
      return { name, passed: false, instructions, problem: `It succeeded, and should have failed with ${item.error}` };
    }
    const expected = bytesOf(item.output, item.outputBase64);
    if (expected === undefined || Buffer.from(expected).equals(output)) return { name, passed: true, instructions };
    return {
      name,
      passed: false,
      instructions,
      problem: `It gave ${shown(output)}, and should have given ${shown(expected)}`,
    };
  } catch (error) {
    const { code, message } = toNodeError(error);
    if (code === item.error) return { name, passed: true, instructions: 0 };
    return { name, passed: false, instructions: 0, problem: `It failed with ${code}: ${message}` };
  }
}

/** A plugin host on a folder of its own, for as long as `use` takes, with the program as a plugin if one is given. */
async function withHost<T>(
  use: (host: Plugins) => Promise<T>,
  { program, log = silentLog }: { readonly program?: string; readonly log?: Log } = {},
): Promise<T> {
  const { openPluginHost } = await import("../plugins/mod.ts");
  const folder = await mkdtemp(join(tmpdir(), "velas-plugin-"));
  try {
    const host = await openPluginHost({
      folder,
      defaultPlugin: "",
      workers: 1,
      maxModuleBytes: 1 << 30,
      maxInputBytes: 1 << 30,
      allowUrlInstall: false,
      external: program === undefined ? [] : [{ name: PROGRAM, protocol: "auto", command: [program] }],
      log,
      metrics: noMetrics,
    });
    try {
      return await use(host);
    } finally {
      await host.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Shows what a program prints to stderr, and nothing else of the log. */
function printed(cli: CliContext): Log {
  const log: Log = {
    ...silentLog,
    info(message, fields) {
      if (fields?.["stream"] === "stderr") cli.err.line(printable(message));
    },
    child: () => log,
  };
  return log;
}

async function read(cli: CliContext, file: string): Promise<Uint8Array> {
  const path = resolve(cli.cwd, file);
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadable("file", path, cause);
  }
}

function parseCases(bytes: Uint8Array, file: string): readonly Case[] {
  let cases: unknown;
  try {
    cases = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new NodeError("invalid_argument", `${file} is not JSON`, { cause });
  }
  if (!Array.isArray(cases) || cases.length === 0 || cases.some((item) => typeof item?.function !== "string")) {
    throw new NodeError("invalid_argument", `${file} must be a list of cases, each with a "function"`);
  }
  return cases as readonly Case[];
}

function bytesOf(text: string | undefined, base64: string | undefined): Uint8Array | undefined {
  if (base64 !== undefined) return Buffer.from(base64, "base64");
  return text === undefined ? undefined : new TextEncoder().encode(text);
}

function shown(bytes: Uint8Array): string {
  return JSON.stringify(new TextDecoder().decode(bytes.subarray(0, SHOWN)));
}
