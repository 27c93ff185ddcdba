import * as z from "zod";
import { files, storage } from "./groups/files.ts";
import { rest, rpc } from "./groups/listeners.ts";
import { payments, prices } from "./groups/money.ts";
import { log, node, shutdown } from "./groups/node.ts";
import { peers, requester } from "./groups/peers.ts";
import { plugins } from "./groups/plugins.ts";
import { tasks } from "./groups/tasks.ts";
import { alerts, tracing } from "./groups/watch.ts";

/**
 * The one schema of the configuration: two levels, `group.key`. Types, defaults, units, descriptions, flags, environment names,
 * the reference page and the JSON Schema all come from it.
 */
export const configSchema = z.strictObject({
  node,
  rpc,
  rest,
  tasks,
  plugins,
  requester,
  peers,
  files,
  storage,
  payments,
  prices,
  alerts,
  tracing,
  log,
  shutdown,
});

/** What the groups are about, for the reference and `--help`. */
export const GROUP_TITLES: Readonly<Record<keyof Config, string>> = {
  node: "The node itself",
  rpc: "The RPC listener, for other nodes",
  rest: "The REST listener, for people and programs",
  tasks: "Tasks",
  plugins: "Plugins",
  requester: "Calls to other nodes",
  peers: "Knowing other nodes",
  files: "Files",
  storage: "The databases, and shards kept for other nodes",
  payments: "Money: the chain, budgets and credit",
  prices: "What this node wants for its work; all 0 is free of charge",
  alerts: "Alerts: what an operator is told of, and where",
  tracing: "Traces",
  log: "The log",
  shutdown: "Shutdown",
};

/** The effective configuration: durations in milliseconds, sizes in bytes. */
export type Config = z.infer<typeof configSchema>;
