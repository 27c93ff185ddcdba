import process from "node:process";
import type { Command } from "commander";
import { dataPaths, servesOwnCertificate, speaksTls, TLS_GROUPS } from "../config/mod.ts";
import { collectConnectionGarbage, collectStartupGarbage, letSocketsGo, VERSION } from "../core/mod.ts";
import { withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";
import { runtimeName } from "./info-commands.ts";
import { loadFor, type SettingFlags, withSettingOptions } from "./settings-options.ts";
import { restUrl, startNode } from "./start-node.ts";

/** `velas-sphere node` */
export function addNodeCommand(program: Command, cli: CliContext): void {
  withExamples(
    withSettingOptions(program.command("node").summary("run a node"))
      .description(
        "Run a node until Ctrl-C or SIGTERM, which drain it: it takes nothing new, finishes what runs, and ends with 0. A second " +
          "signal ends it at once; tasks that were accepted are run after the next start. SIGHUP reads the configuration anew. The log goes " +
          "to standard error.",
      )
      .action((flags: SettingFlags) => runNode(cli, flags)),
    ["velas-sphere node", "on loopback, data in ~/.velas-sphere"],
    ["velas-sphere node --data-dir ./data --log-level debug", "data here, more log"],
    ["velas-sphere node --rpc-listen 0.0.0.0:8081 --open --own-certificate", "serve other machines, with TLS"],
    ["velas-sphere node --plugins-external ocr=127.0.0.1:8082", "with a plugin in another process"],
  );
}

async function runNode(cli: CliContext, flags: SettingFlags): Promise<void> {
  const { config, sources, notices, file } = loadFor(cli, flags);
  const { createLogger } = await import("./logger.ts"); // clients start faster without it
  const log = createLogger({ ...config.log, env: cli.env });
  cli.onFault = (error) => {
    log.error("The node stops for a fault that nothing caught", { error });
    log.flush();
  };
  for (const notice of notices) log.warn(notice);

  const node = await startNode({
    config,
    sources,
    log,
    reread: () => loadFor(cli, flags),
    onReload: (changed) => log.setLevel(changed.log.level),
  });
  cli.onHangup = () => {
    try {
      node.reload();
    } catch (error) {
      log.error("The configuration was not taken over; the node goes on with the one it has", {
        reason: (error as Error).message,
      });
    }
  };
  collectStartupGarbage(cli.interrupted);
  collectConnectionGarbage(cli.interrupted);
  letSocketsGo();
  log.info("Serving", {
    nodeId: node.nodeId,
    rest: restUrl(node.restAddress, { tls: speaksTls(config, "rest") }),
    rpc: speaksTls(config, "rpc") ? node.rpcAddresses.map((address) => `https://${address}`) : node.rpcAddresses,
    ...(TLS_GROUPS.some((group) => servesOwnCertificate(config, group)) && {
      certificate: dataPaths(config.node.dataDir).ownCertificate,
    }),
    version: VERSION,
    runtime: runtimeName(),
    pid: process.pid,
    dataDir: config.node.dataDir,
    ...(file === undefined ? {} : { config: file }),
  });
  await aborted(cli.interrupted);
  const { graceMs } = config.shutdown;
  log.info("Draining", { graceMs });
  await node.close({ graceMs });
  log.info("Stopped");
  log.flush();
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
