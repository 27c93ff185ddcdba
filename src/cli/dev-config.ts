import { createServer } from "node:net";
import { join } from "node:path";
import { type Config, loadConfig } from "../config/mod.ts";
import { closeServer, NodeError } from "../core/mod.ts";
import type { CliContext } from "./context.ts";
import type { RunningNode } from "./start-node.ts";

/** How long nodes of a swarm may take to end. */
export const GRACE_MS = 3000;

/** How often a node tries to get its ports: others may take what was free a moment ago, and have it when it is looked at again. */
const TRIES = 5;

/** A node of the swarm and the ports that it would like; 0 lets the system choose. */
export interface Role {
  readonly name: string;
  readonly restPort: number;
  readonly rpcPorts: readonly number[];
  readonly workers: string;
}

interface ConfigOptions {
  readonly dataDir: string;
  readonly cli: CliContext;
  readonly logLevel: string;
  readonly flags?: Readonly<Record<string, string>>;
}

/** Starts a node of the swarm at the ports that it would like, or at free ones for those that are taken, be it while it starts. */
export async function startRole(
  role: Role,
  { start, ...options }: ConfigOptions & { readonly start: (config: Config) => Promise<RunningNode> },
): Promise<RunningNode> {
  for (let left = TRIES - 1;; left--) {
    try {
      return await start(await configOf(role, options));
    } catch (error) {
      if (left === 0 || !(error instanceof NodeError) || error.code !== "address_in_use") throw error;
    }
  }
}

/** The configuration of one node of the swarm: nothing from files or environment, so that it works the same everywhere. */
async function configOf(role: Role, { dataDir, cli, logLevel, flags = {} }: ConfigOptions): Promise<Config> {
  const home = join(dataDir, role.name);
  const listen = async (port: number): Promise<string> => {
    if (port === 0 || await isFree(port)) return `127.0.0.1:${port}`;
    cli.err.line(`${cli.err.colors.yellow("note:")} port ${port} is taken, so the ${role.name} listens on a free one`);
    return "127.0.0.1:0";
  };
  const rpc: string[] = [];
  for (const port of role.rpcPorts) rpc.push(await listen(port));
  return loadConfig({
    flags: {
      "node.name": role.name,
      "node.dataDir": home,
      "rest.listen": await listen(role.restPort),
      "rpc.listen": rpc.join(","),
      "plugins.workers": role.workers,
      "log.level": logLevel,
      ...flags,
    },
    env: {},
    cwd: home,
    homeDir: home,
  }).config;
}

/** The setting of the provider that runs the plugins of `--plugins-external`. */
export function externalPlugins({ pluginsExternal }: { readonly pluginsExternal?: string }): Record<string, string> {
  return pluginsExternal === undefined ? {} : { "plugins.external": pluginsExternal };
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().on("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => void closeServer(probe).then(() => resolve(true)));
  });
}
