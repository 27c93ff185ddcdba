import { constants } from "node:fs";
import { access, mkdir, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import {
  type Address,
  type Config,
  dataPaths,
  effectiveSettings,
  isLoopback,
  parseAddress,
  type ValueSource,
} from "./config/mod.ts";
import { type Log, type NodeDescriber, NodeError, type NodeId, systemClock, toNodeError, VERSION } from "./core/mod.ts";
import { freeLedger } from "./payments/mod.ts";
import { openPluginHost, type Plugins } from "./plugins/mod.ts";
import { createTaskProvider, type TaskProvider } from "./provider/mod.ts";
import { createTaskRequester } from "./requester/mod.ts";
import { createMetrics, createRestApp, createRestServer, type MetricsRegistry } from "./rest/mod.ts";
import { createPeers } from "./rpc/client/mod.ts";
import { assertRuntimeSupported, createRpcServer, HealthState, type RpcServer } from "./rpc/mod.ts";
import { loadOrCreateNodeKey } from "./storage/node-key.ts";
import { openStore } from "./storage/mod.ts";

export interface StartNodeOptions {
  readonly config: Config;
  /** Where the values come from, to be shown on the web page. */
  readonly sources?: ReadonlyMap<string, ValueSource>;
  readonly log: Log;
}

/** A node that serves. */
export interface RunningNode {
  readonly nodeId: NodeId;
  /** Where RPC is served, each as `host:port`. */
  readonly rpcAddresses: readonly string[];
  /** Where REST is served, as `host:port`. */
  readonly restAddress: string;
  /**
   * Drains and stops: takes nothing new, lets running tasks end for `graceMs`, hands the rest back to the queue, closes the store.
   * A second call waits for the first.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** Tasks in the hands of the pool for each worker: enough that a worker never waits for the main thread between small ones. */
const RUNNING_PER_WORKER = 32;

/**
 * Builds a node from its configuration and starts it: the one place where implementations meet the interfaces that their
 * consumers declare. When a step fails, what was started is stopped again and the NodeError of the step is thrown.
 */
export async function startNode({ config, sources, log }: StartNodeOptions): Promise<RunningNode> {
  assertRuntimeSupported();
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.reverse().splice(0)) {
      await close().catch((error: unknown) => log.error("A part of the node did not stop cleanly", { error }));
    }
  };
  try {
    return await assemble({ config, sources: sources ?? new Map(), log, closers, closeAll });
  } catch (error) {
    await closeAll();
    throw toNodeError(error);
  }
}

interface Assembly extends Required<StartNodeOptions> {
  /** What to stop, in the order in which it was started. */
  readonly closers: (() => Promise<void>)[];
  readonly closeAll: () => Promise<void>;
}

async function assemble({ config, sources, log, closers, closeAll }: Assembly): Promise<RunningNode> {
  const { dataDir } = config.node;
  await makeDataDir(dataDir);
  const paths = dataPaths(dataDir);
  const { key } = await loadOrCreateNodeKey({ dataDir, passphrase: config.node.keyPassphrase });
  const clock = systemClock;
  const metrics = createMetrics();

  const store = await openStore(paths.database, { sync: config.storage.sync, log });
  closers.push(() => store.close());
  const plugins = await openPlugins({ config, log, metrics });
  closers.push(() => plugins.close());

  const ledger = freeLedger;
  const limits = taskLimits(config);
  const provider = createTaskProvider({
    store: store.tasks,
    host: plugins,
    ledger,
    clock,
    log,
    metrics,
    maxLimits: limits.max,
    defaultLimits: limits.default,
    maxRunning: config.tasks.maxRunning || RUNNING_PER_WORKER * workersOf(config),
    maxQueued: config.tasks.maxQueued,
    maxQueuedBytes: config.tasks.maxQueuedBytes,
    queueTimeoutMs: config.tasks.queueTimeoutMs,
    maxAttempts: config.tasks.maxAttempts,
    retentionMs: config.tasks.retentionMs,
    maxStoredOutputBytes: config.tasks.maxStoredOutputBytes,
  });
  closers.push(() => provider.close());
  const peers = createPeers({
    requester: key.nodeId,
    limits: {
      maxMessageBytes: config.rpc.maxMessageBytes,
      maxSessions: config.requester.maxPeers,
      connectTimeoutMs: config.requester.dialTimeoutMs,
      idleTimeoutMs: config.requester.idleTimeoutMs,
      taskTimeoutMs: config.rpc.requestTimeoutMs,
    },
  });
  closers.push(() => peers.close());
  const requester = createTaskRequester({
    local: provider,
    dial: (target) => peers.dial(target),
    store: store.requests,
    ledger,
    clock,
    log,
    self: key.nodeId,
  });
  closers.push(() => requester.close());

  const node: NodeDescriber = {
    describe: () => ({
      nodeId: key.nodeId,
      name: config.node.name,
      version: VERSION,
      plugins: plugins.list(),
      issuedAt: clock.now(),
      limits: limits.max,
    }),
    sign: (message) => key.sign(message),
  };
  const recovered = await provider.recover();
  await requester.recover();
  if (recovered.queued + recovered.interrupted > 0) log.info("Took up tasks from before", { ...recovered });

  const health = new HealthState(true);
  const stopping = new AbortController();
  const rpc = await makeRpc({ config, log, metrics, provider, node, health });
  closers.push(() => rpc.close({ graceMs: 0 }));
  const rpcAddresses: string[] = [];
  for (const listen of config.rpc.listen) rpcAddresses.push(showAddress(await rpc.listen(addressOf(listen))));

  const { token } = config.rest;
  const restListen = addressOf(config.rest.listen);
  const rest = createRestServer({
    app: createRestApp({
      tasks: requester,
      plugins,
      node,
      peers,
      metrics,
      log,
      clock,
      requester: key.nodeId,
      health: {
        live: () => true,
        ready: () => ({ ready: health.ready, reasons: health.ready ? [] : ["The node is shutting down"] }),
      },
      settings: () => effectiveSettings(config, sources),
      limits: config.rest,
      stopping: stopping.signal,
      ...hostCheck(config, restListen),
      allowedOrigins: config.rest.allowedOrigins,
      ...(token === undefined ? {} : { token }),
    }),
    ...restListen,
    limits: config.rest,
    log,
  });
  const restAddress = showAddress(await rest.listen());
  closers.push(() => rest.close());

  const drain = async (graceMs: number) => {
    health.set(false);
    stopping.abort();
    await Promise.all([rpc.close({ graceMs }), rest.close({ drainMs: graceMs }), provider.drain({ graceMs })]);
    await closeAll();
  };
  let closing: Promise<void> | undefined;
  return {
    nodeId: key.nodeId,
    rpcAddresses,
    restAddress,
    close: ({ graceMs }) => closing ??= drain(graceMs),
  };
}

async function makeDataDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const cause = await reasonAbove(path) ?? error;
    throw new NodeError(
      "storage_failed",
      `Cannot make the data directory ${path}: ${
        (cause as Error).message
      }. Set node.dataDir to a folder that can be written`,
      { cause, data: { path } },
    );
  }
}

/** Why nothing can be made below the nearest folder that is there: mkdir says ENOENT on a read-only file system. */
async function reasonAbove(path: string): Promise<unknown> {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    try {
      await access(folder, constants.W_OK);
      return undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || folder === dirname(folder)) return error;
    }
  }
}

function openPlugins(
  { config, log, metrics }: { config: Config; log: Log; metrics: MetricsRegistry },
): Promise<Plugins> {
  return openPluginHost({
    folder: dataPaths(config.node.dataDir).plugins,
    defaultPlugin: config.plugins.default,
    workers: workersOf(config),
    maxModuleBytes: config.plugins.maxModuleBytes,
    maxInputBytes: config.tasks.maxInputBytes,
    allowUrlInstall: config.plugins.allowUrlInstall,
    external: config.plugins.external,
    log,
    metrics,
  });
}

function workersOf(config: Config): number {
  return config.plugins.workers || availableParallelism();
}

function taskLimits({ tasks }: Config) {
  return {
    max: {
      inputBytes: tasks.maxInputBytes,
      outputBytes: tasks.maxOutputBytes,
      memoryBytes: tasks.maxMemoryBytes,
      timeoutMs: tasks.maxTimeoutMs,
      instructions: tasks.maxInstructions,
    },
    default: {
      timeoutMs: tasks.defaultTimeoutMs,
      memoryBytes: tasks.defaultMemoryBytes,
      outputBytes: tasks.defaultOutputBytes,
      instructions: tasks.defaultInstructions,
    },
  };
}

interface RpcParts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
  readonly provider: TaskProvider;
  readonly node: NodeDescriber;
  readonly health: HealthState;
}

async function makeRpc({ config, log, metrics, provider, node, health }: RpcParts): Promise<RpcServer> {
  const { tlsCertFile, tlsKeyFile } = config.rpc;
  const tls = tlsCertFile === undefined || tlsKeyFile === undefined
    ? {}
    : { tls: { cert: await pemOf(tlsCertFile), key: await pemOf(tlsKeyFile) } };
  return createRpcServer({
    tasks: provider,
    node,
    health,
    clock: systemClock,
    log,
    metrics,
    limits: config.rpc,
    ...tls,
  });
}

async function pemOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NodeError("config_invalid", `Cannot read ${path}: ${(cause as Error).message}`, {
      cause,
      data: { path },
    });
  }
}

/**
 * The names that REST requests may carry. On loopback this keeps websites out; elsewhere a token does, and the names by which
 * others reach the node are not known here, so only configured ones are checked.
 */
function hostCheck({ rest }: Config, { host }: Address): { allowedHosts?: readonly string[] } {
  if (!isLoopback(host) && rest.allowedHosts.length === 0) return {};
  return { allowedHosts: ["localhost", "127.0.0.1", "[::1]", showHost(host), ...rest.allowedHosts] };
}

/** The address in a text that the configuration's schema has checked. */
function addressOf(text: string): Address {
  return parseAddress(text)!;
}

function showHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

function showAddress({ host, port }: Address): string {
  return `${showHost(host)}:${port}`;
}
