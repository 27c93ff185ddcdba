import { type Command, Option } from "commander";
import { parseAddress } from "../config/mod.ts";
import { NodeError, VERSION } from "../core/mod.ts";
import { durationOption, withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { aborted } from "./node-command.ts";

interface PluginFlags {
  readonly listen: string;
  readonly grace: number;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

/** `velas-sphere plugin` */
export function addPluginCommand(program: Command, cli: CliContext): void {
  withExamples(
    withOutputOptions(program.command("plugin").summary("serve the demo functions as an external plugin"))
      .description(
        "Serve the demo functions (greet, echo, wordcount) as an external gRPC plugin, over this node's protocol and the original's. " +
          "Plugins have no authentication of their own: keep the port from strangers.",
      )
      .option("--listen <host:port>", "where to listen", "127.0.0.1:8082")
      .addOption(
        new Option("--grace <duration>", "how long calls may take to finish at the end")
          .argParser(durationOption).default(5000, "5s"),
      )
      .action((flags: PluginFlags) => runPlugin(cli, flags)),
    ["velas-sphere plugin", "on 127.0.0.1:8082"],
    ["velas-sphere node --plugins-external demo2=127.0.0.1:8082", "a node that uses it"],
  );
}

async function runPlugin(cli: CliContext, { listen, grace, json, verbose }: PluginFlags): Promise<void> {
  const address = parseAddress(listen);
  if (address === undefined) {
    throw new NodeError("invalid_argument", `--listen must be an address such as 127.0.0.1:8082, not "${listen}"`);
  }
  const [{ createLogger }, { createPluginServer }, { demoFunctions }] = await Promise.all([
    import("./logger.ts"),
    import("../rpc/mod.ts"),
    import("../../grpc-plugins/demo/functions.ts"),
  ]);
  const log = createLogger({
    level: verbose === true ? "debug" : "info",
    format: json === true ? "json" : "auto",
    env: cli.env,
  });
  cli.onFault = (error) => {
    log.error("The plugin stops for a fault that nothing caught", { error });
    log.flush();
  };
  const server = createPluginServer({
    name: "demo",
    version: VERSION,
    description: "Small functions to try a node with",
    functions: demoFunctions,
    log,
  });
  const { host, port } = await server.listen(address);
  log.info("Serving", { plugin: "demo", rpc: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}` });
  await aborted(cli.interrupted);
  log.info("Draining", { graceMs: grace });
  await server.close({ graceMs: grace });
  log.info("Stopped");
  log.flush();
}
