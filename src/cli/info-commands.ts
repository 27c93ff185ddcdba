import process from "node:process";
import type { Command } from "commander";
import { formatDuration, formatSize } from "../config/mod.ts";
import { COMMIT, FULL_VERSION, isDeno, isSingleExecutable, type NodeInfo, VERSION } from "../core/mod.ts";
import { type ClientFlags, clientOf, withClientOptions, withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { checkGrpcHealth } from "./grpc-health.ts";
import { showPlugins } from "./plugins-commands.ts";
import { formatTable, printable } from "./terminal.ts";

interface HealthFlags extends ClientFlags {
  readonly rpc?: string;
}

/** `velas-sphere info` and `health`. */
export function addInfoCommands(program: Command, cli: CliContext): void {
  withExamples(
    withClientOptions(program.command("info").summary("show who a node is and what it offers"))
      .argument("[target]", "another node, host:port, asked through yours (default: yours)")
      .description("Show a node's id, plugins and limits. Another node's answer is checked against its signature.")
      .action(async (target: string | undefined, flags: ClientFlags) => {
        const info = await clientOf(cli, flags).json<NodeInfo>("GET", "/v1/node", {
          query: { target },
        });
        if (flags.json === true) cli.out.line(JSON.stringify(info));
        else showNode(info, cli);
      }),
    ["velas-sphere info", "your node"],
    ["velas-sphere info provider.example:8081", "another one"],
  );

  withExamples(
    withClientOptions(program.command("health").summary("ask whether a node or plugin is well"))
      .option("--rpc <host:port>", "ask an RPC listener or an external plugin (grpc.health.v1) instead of REST")
      .description("Ask whether a node or an external plugin is well; for health checks of containers.")
      .action(async (flags: HealthFlags) => {
        if (flags.rpc === undefined) await clientOf(cli, flags).json("GET", "/healthz");
        else await checkGrpcHealth(flags.rpc, { signal: cli.interrupted });
        cli.out.line(flags.json === true ? JSON.stringify({ status: "ok" }) : "ok");
      }),
    ["velas-sphere health", "exit code 0 when the node works"],
    ["velas-sphere health --rpc 127.0.0.1:8082", "an external plugin"],
  );
}

/** `velas-sphere version` */
export function addVersionCommand(program: Command, cli: CliContext): void {
  withExamples(
    withOutputOptions(program.command("version").summary("show the version"))
      .description("Show the version of the software and of the runtime under it.")
      .action((flags: ClientFlags) => {
        const runtime = runtimeName();
        const platform = `${process.platform}-${process.arch}`;
        if (flags.json === true) {
          const built = COMMIT === undefined ? {} : { commit: COMMIT };
          cli.out.line(
            JSON.stringify({ version: VERSION, ...built, runtime, platform, singleExecutable: isSingleExecutable }),
          );
        } else cli.out.line(`velas-sphere ${FULL_VERSION} (${runtime}, ${platform})`);
      }),
    ["velas-sphere version --json", "for programs"],
  );
}

/** The runtime and its version, such as `Node 24.21.0`. */
export function runtimeName(): string {
  if (!isDeno) return `Node ${process.versions.node}`;
  return `Deno ${(globalThis as unknown as { Deno: { version: { deno: string } } }).Deno.version.deno}`;
}

function showNode(info: NodeInfo, { out }: CliContext): void {
  const { bold, dim } = out.colors;
  const { inputBytes, outputBytes, memoryBytes, timeoutMs } = info.limits;
  const rows = [
    ["id", info.nodeId],
    ["version", printable(info.version)],
    [
      "limits",
      `${formatDuration(timeoutMs)}, ${formatSize(memoryBytes)} memory, ${formatSize(inputBytes)} in, ${
        formatSize(outputBytes)
      } out`,
    ],
  ];
  out.line(bold(printable(info.name)));
  for (const line of formatTable(rows.map(([name, value]) => [dim(name!), value!]))) out.line(line);
  if (info.plugins.length > 0) {
    out.line();
    showPlugins(info.plugins, out);
  }
}
