import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { formatSize } from "../config/mod.ts";
import { type ModuleInfo, NodeError, type PluginInfo } from "../core/mod.ts";
import type { NodeClient } from "./client.ts";
import { type ClientFlags, clientOf, withClientOptions, withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { addPluginAuthorCommands } from "./plugin-author.ts";
import { formatTable, printable, type Screen } from "./terminal.ts";
import { unreadable } from "./unreadable.ts";

interface InstallFlags extends ClientFlags {
  readonly sha256?: string;
}

/** `velas-sphere plugins …` */
export function addPluginsCommands(program: Command, cli: CliContext): void {
  const plugins = program.command("plugins").summary("see and manage the node's plugins").description(
    "See, install, switch and remove the plugins of a node while it runs; begin, test and pack plugins of your own.",
  );
  addPluginAuthorCommands(plugins, cli);

  withExamples(
    withClientOptions(plugins.command("list").summary("list plugins"))
      .description("List the node's plugins and whether they take tasks.")
      .action(async (flags: ClientFlags) => {
        const answer = await clientOf(cli, flags).json<{ plugins: PluginInfo[] }>("GET", "/v1/plugins");
        if (flags.json === true) cli.out.line(JSON.stringify(answer));
        else if (answer.plugins.length === 0) cli.err.line('No plugins: "velas-sphere plugins install" adds one.');
        else showPlugins(answer.plugins, cli.out);
      }),
    ["velas-sphere plugins list", "name, version, state"],
  );

  withExamples(
    withRef(plugins.command("show").summary("show a plugin and its functions"))
      .description("Show a plugin and the functions that tasks may call.")
      .action((ref: string, flags: ClientFlags) => call(cli, flags, (client) => client.json("GET", pathOf(ref)))),
    ["velas-sphere plugins show demo", "functions and content types"],
  );

  withExamples(
    withClientOptions(
      plugins.command("install").summary("install a WASM plugin").argument(
        "<file-or-url>",
        "a .wasm file, or where to download it",
      ),
    )
      .description("Install a WASM plugin from a file, or from a URL with the SHA-256 that it must have.")
      .option("--sha256 <hex>", "the module's digest; needed for a URL")
      .action((source: string, flags: InstallFlags) =>
        call(cli, flags, (client) => install(client, source, { cli, flags }))
      ),
    ["velas-sphere plugins install wordcount.wasm", "takes tasks at once"],
    ["velas-sphere plugins install https://plugins.example/ocr.wasm --sha256 2cf2...9824", "the node downloads it"],
  );

  for (
    const [verb, enabled, meaning] of [
      ["enable", true, "Let a plugin take tasks again."],
      ["disable", false, "Let a plugin take no new tasks. What runs goes on."],
    ] as const
  ) {
    withExamples(
      withRef(plugins.command(verb).summary(enabled ? "let a plugin take tasks" : "let a plugin take no new tasks"))
        .description(meaning)
        .action((ref: string, flags: ClientFlags) =>
          call(cli, flags, (client) => client.json("PATCH", pathOf(ref), { json: { enabled } }))
        ),
      [`velas-sphere plugins ${verb} demo`, "at once, and after restarts too"],
    );
  }

  withExamples(
    withRef(plugins.command("remove").summary("remove a plugin"))
      .description("Remove a plugin and its module from the node.")
      .action(async (ref: string, flags: ClientFlags) => {
        await clientOf(cli, flags).json("DELETE", pathOf(ref));
        cli.out.line(flags.json === true ? JSON.stringify({ removed: ref }) : `Removed ${printable(ref)}`);
      }),
    ["velas-sphere plugins remove wordcount@1.0.0", "one version"],
  );
}

function withRef(command: Command): Command {
  return withClientOptions(command.argument("<plugin>", "name, name@version or SHA-256"));
}

function pathOf(ref: string): string {
  return `/v1/plugins/${encodeURIComponent(ref)}`;
}

async function call(
  cli: CliContext,
  flags: ClientFlags,
  ask: (client: NodeClient) => Promise<PluginInfo>,
): Promise<void> {
  const plugin = await ask(clientOf(cli, flags));
  if (flags.json === true) cli.out.line(JSON.stringify(plugin));
  else showPlugin(plugin, cli.out);
}

async function install(
  client: NodeClient,
  source: string,
  { cli, flags }: { cli: CliContext; flags: InstallFlags },
): Promise<PluginInfo> {
  const { sha256 } = flags;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new NodeError("invalid_argument", `--sha256 must be 64 lower-case hex digits, not "${sha256}"`);
  }
  if (/^https?:\/\//.test(source)) {
    if (sha256 === undefined) {
      throw new NodeError(
        "invalid_argument",
        `Installing from ${source} needs --sha256, so that the node runs what you mean: sha256sum shows a file's`,
      );
    }
    return await client.json("POST", "/v1/plugins", { json: { url: source, sha256 } });
  }
  return await uploadModule(client, source, { cli, sha256 });
}

/**
 * Gives a node a module from a file for tasks that name it by its SHA-256, which is the answer; unlike {@link uploadModule} it installs nothing.
 * What the node has is not sent again.
 */
export async function bringModule(client: NodeClient, file: string, cli: CliContext): Promise<ModuleInfo> {
  const { module, digest } = await readModule(file, cli);
  try {
    return await client.json("GET", `/v1/modules/${digest}`);
  } catch (error) {
    if (!(error instanceof NodeError) || error.code !== "plugin_not_found") throw error;
  }
  return await client.json("POST", "/v1/modules", {
    body: module,
    headers: { "content-type": "application/wasm" },
    query: { sha256: digest },
  });
}

/** A module and its SHA-256, which also catches damage on the way to the node. */
async function readModule(file: string, cli: CliContext) {
  const path = resolve(cli.cwd, file);
  const module = await readFile(path).catch((cause) => {
    throw unreadable("module", path, cause);
  });
  return { path, module, digest: createHash("sha256").update(module).digest("hex") };
}

/** Gives a node a module from a file; the same module again changes nothing. `sha256` is what it must have, when that is known. */
async function uploadModule(
  client: NodeClient,
  file: string,
  { cli, sha256 }: { readonly cli: CliContext; readonly sha256?: string | undefined },
): Promise<PluginInfo> {
  const { path, module, digest } = await readModule(file, cli);
  if (sha256 !== undefined && sha256 !== digest) {
    throw new NodeError(
      "invalid_argument",
      `${path} has the SHA-256 ${digest}, not ${sha256}: it is not the file you mean`,
    );
  }
  return await client.json("POST", "/v1/plugins", {
    body: module,
    headers: { "content-type": "application/wasm" },
    query: { sha256: digest },
  });
}

/** Whether a plugin takes tasks, in a word or two. */
export function pluginState(plugin: PluginInfo, { colors }: Screen): string {
  if (!plugin.enabled) return colors.yellow("disabled");
  const { gpu } = plugin;
  const line = gpu === undefined ? "" : colors.dim(`, GPU ${gpu.running === 0 ? "not in use" : "in use"}`) +
    (gpu.waiting === 0 ? "" : colors.yellow(`, ${gpu.waiting} wait`));
  return (plugin.ready ? colors.green("ready") : colors.red("not ready")) + line;
}

/** Plugins, a line each. */
export function showPlugins(plugins: readonly PluginInfo[], screen: Screen): void {
  const { bold, dim } = screen.colors;
  const rows = plugins.map((plugin) => [
    printable(`${plugin.name}@${plugin.version}`) + (plugin.isDefault ? dim(" default") : ""),
    pluginState(plugin, screen),
    plugin.runtime,
    printable(plugin.functions.map((fn) => fn.name).join(", ")),
    dim(printable(plugin.problem ?? plugin.description)),
  ]);
  for (const line of formatTable([["PLUGIN", "STATE", "RUNTIME", "FUNCTIONS", ""].map(bold), ...rows])) {
    screen.line(line);
  }
}

function showPlugin(plugin: PluginInfo, screen: Screen): void {
  const { bold, dim } = screen.colors;
  screen.line(`${bold(printable(`${plugin.name}@${plugin.version}`))}  ${pluginState(plugin, screen)}`);
  if (plugin.description !== "") screen.line(printable(plugin.description));
  const rows: string[][] = [[dim("runtime"), plugin.runtime]];
  if (plugin.problem !== undefined) rows.push([dim("problem"), printable(plugin.problem)]);
  if (plugin.address !== undefined) rows.push([dim("address"), printable(plugin.address)]);
  if (plugin.sha256 !== "") rows.push([dim("sha256"), plugin.sha256]);
  if (plugin.sizeBytes !== undefined) rows.push([dim("size"), formatSize(plugin.sizeBytes)]);
  for (const line of formatTable(rows)) screen.line(line);
  if (plugin.functions.length === 0) return;
  screen.line(bold("functions"));
  const functions = plugin.functions.map((fn) => [
    `  ${printable(fn.name)}`,
    printable(`${fn.inputContentType || "*/*"} -> ${fn.outputContentType || "application/octet-stream"}`),
    dim(printable(fn.description)),
  ]);
  for (const line of formatTable(functions)) screen.line(line);
}
