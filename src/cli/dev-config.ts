import { createServer } from "node:net";
import { join } from "node:path";
import { type Config, loadConfig } from "../config/mod.ts";
import { closeServer } from "../core/mod.ts";
import type { CliContext } from "./context.ts";

/** How long nodes of a swarm may take to end. */
export const GRACE_MS = 3000;

/** A node of the swarm and the ports that it would like; 0 lets the system choose. */
export interface Role {
  readonly name: string;
  readonly restPort: number;
  readonly rpcPorts: readonly number[];
  readonly workers: string;
}

/** The configuration of one node of the swarm: nothing from files or environment, so that it works the same everywhere. */
export async function configOf(
  role: Role,
  { dataDir, cli, logLevel, flags = {} }: {
    dataDir: string;
    cli: CliContext;
    logLevel: string;
    flags?: Readonly<Record<string, string>>;
  },
): Promise<Config> {
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
