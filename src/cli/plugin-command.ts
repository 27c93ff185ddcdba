import { resolve } from "node:path";
import process from "node:process";
import { type Command, Option } from "commander";
import { parseAddress } from "../config/mod.ts";
import { NodeError, VERSION } from "../core/mod.ts";
import type { PluginImplementation } from "../rpc/mod.ts";
import { durationOption, integerOption, readToken, sizeOption, withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { aborted } from "./node-command.ts";

interface PluginFlags {
  readonly listen: string;
  readonly grace: number;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

interface MediaFlags extends PluginFlags {
  readonly node?: string;
  readonly tokenFile?: string;
  readonly prefix?: string;
  readonly maxTemporary: number;
  readonly maxConcurrency: number;
  readonly threads: number;
}

/** What `velas-sphere plugin` serves. */
interface Served {
  readonly name: string;
  readonly description: string;
  readonly functions: Readonly<Record<string, PluginImplementation>>;
  readonly maxConcurrency?: number;
  readonly gpu?: boolean;
}

/** `velas-sphere plugin`, `velas-sphere plugin media` and `velas-sphere plugin gpu-simulated` */
export function addPluginCommand(program: Command, cli: CliContext): void {
  const plugin = withServing(program.command("plugin").summary("serve functions as an external plugin"))
    .description(
      "Serve the demo functions (greet, echo, wordcount) as an external gRPC plugin, over this node's protocol and the original's. " +
        "Plugins have no authentication of their own: keep the port from strangers.",
    )
    .action(async (flags: PluginFlags) => {
      const { demoFunctions } = await import("../../grpc-plugins/demo/functions.ts");
      const description = "Small functions to try a node with";
      await serve(cli, flags, { name: "demo", description, functions: demoFunctions });
    });
  withExamples(
    plugin,
    ["velas-sphere plugin", "on 127.0.0.1:8082"],
    ["velas-sphere node --plugins-external demo2=127.0.0.1:8082", "a node that uses it"],
    [
      `velas-sphere node --plugins-external '[{"name":"demo2","command":["velas-sphere","plugin"]}]'`,
      "a node that runs it",
    ],
  );
  withExamples(
    withServing(plugin.command("media").summary("serve FFmpeg: probe, thumbnail, extract-audio, transcode, hls"))
      .description(
        "Serve functions on video and sound as an external gRPC plugin. FFmpeg must be installed. Tasks send their media; with --node and " +
          "--prefix they may also name files of that node, and whoever may run the plugin can read and add files under the prefix.",
      )
      .option("--node <url>", "REST address of the node whose files tasks may name")
      .option("--token-file <path>", "file with that node's REST token")
      .option("--prefix <text>", "what the names of these files begin with, such as films/")
      .addOption(
        new Option("--max-temporary <size>", "how much of a task's media may be put into a temporary file")
          .argParser(sizeOption).default(4 * 2 ** 30, "4GiB"),
      )
      .addOption(
        new Option("--max-concurrency <count>", "tasks at once").argParser(integerOption(1, 1000)).default(2),
      )
      .addOption(
        new Option("--threads <count>", "threads of one FFmpeg; 0 leaves it to FFmpeg").argParser(integerOption(0, 256))
          .default(0),
      )
      // Its own flags: those of `plugin`, which have the same names, would stand above them.
      .action((flags: MediaFlags) => serveMedia(cli, flags)),
    ["velas-sphere plugin media", "on 127.0.0.1:8082"],
    ["velas-sphere plugin media --node http://127.0.0.1:3000 --prefix films/", "for files of a node, too"],
    ["velas-sphere node --plugins-external media=127.0.0.1:8082", "a node that uses it"],
  );
  addGpuCommand(plugin, cli);
}

function addGpuCommand(plugin: Command, cli: CliContext): void {
  withExamples(
    withServing(plugin.command("gpu-simulated").summary("serve a GPU that is simulated: matmul, device"))
      .description(
        "Serve functions that would work on a GPU, as an external gRPC plugin that declares one. The device is simulated: it takes the " +
          "time that a kernel would need, and computes nothing. It shows how a node lines up, shows and charges such tasks.",
      )
      .action(async (flags: PluginFlags) => {
        const { gpuFunctions } = await import("../../grpc-plugins/gpu-simulated/functions.ts");
        const description = "Stands for a plugin with a GPU, which is simulated";
        await serve(cli, flags, { name: "gpu-simulated", description, functions: gpuFunctions(), gpu: true });
      }),
    ["velas-sphere plugin gpu-simulated", "on 127.0.0.1:8082"],
    [
      `velas-sphere node --plugins-external '[{"name":"gpu","command":["velas-sphere","plugin","gpu-simulated"]}]'`,
      "a node that runs it",
    ],
  );
}

function withServing(command: Command): Command {
  return withOutputOptions(command)
    .option("--listen <host:port>", "where to listen", "127.0.0.1:8082")
    .addOption(
      new Option("--grace <duration>", "how long calls may take to finish at the end")
        .argParser(durationOption).default(5000, "5s"),
    );
}

/** Resolves when the node that runs this plugin is gone: it holds the other end of stdin. */
function inputClosed(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once("end", resolve).once("close", resolve).once("error", () => resolve()).resume();
  });
}

async function serveMedia(cli: CliContext, flags: MediaFlags): Promise<void> {
  const { node, prefix, tokenFile } = flags;
  if ((node === undefined) !== (prefix === undefined)) {
    throw new NodeError(
      "invalid_argument",
      "--node and --prefix belong together: the node whose files tasks may name, and what these names begin with",
    );
  }
  if (node !== undefined && !/^https?:\/\/[^/]/.test(node)) {
    throw new NodeError("invalid_argument", `--node must be an address such as http://127.0.0.1:3000, not "${node}"`);
  }
  const [{ mediaFunctions }, { Library }] = await Promise.all([
    import("../../grpc-plugins/media/functions.ts"),
    import("../../grpc-plugins/media/library.ts"),
  ]);
  const token = tokenFile === undefined ? undefined : readToken(resolve(cli.cwd, tokenFile));
  const functions = mediaFunctions({
    library: node === undefined ? undefined : new Library({ url: node, token, prefix: prefix! }),
    maxTemporaryBytes: flags.maxTemporary,
    threads: flags.threads,
  });
  const description = "Describes, cuts and converts video and sound with FFmpeg";
  await serve(cli, flags, { name: "media", description, functions, maxConcurrency: flags.maxConcurrency });
}

async function serve(cli: CliContext, { listen, grace, json, verbose }: PluginFlags, served: Served): Promise<void> {
  const [{ createLogger }, { createPluginServer, supervision }] = await Promise.all([
    import("./logger.ts"),
    import("../rpc/mod.ts"),
  ]);
  const supervised = supervision(cli.env);
  const address = supervised ?? parseAddress(listen);
  if (address === undefined) {
    throw new NodeError("invalid_argument", `--listen must be an address such as 127.0.0.1:8082, not "${listen}"`);
  }
  const log = createLogger({
    level: verbose === true ? "debug" : "info",
    format: json === true ? "json" : "auto",
    env: cli.env,
  });
  cli.onFault = (error) => {
    log.error("The plugin stops for a fault that nothing caught", { error });
    log.flush();
  };
  const server = createPluginServer({ ...served, version: VERSION, log, secret: supervised?.secret });
  const { host, port } = await server.listen(address);
  const rpc = supervised !== undefined ? host : host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  log.info("Serving", { plugin: served.name, rpc });
  await Promise.race([aborted(cli.interrupted), ...supervised === undefined ? [] : [inputClosed()]]);
  log.info("Draining", { graceMs: grace });
  await server.close({ graceMs: grace });
  log.info("Stopped");
  log.flush();
}
