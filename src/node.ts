import {
  type Config,
  type ConfigChanges,
  dataPaths,
  effectiveSettings,
  type TlsGroup,
  type ValueSource,
} from "./config/mod.ts";
import {
  isConfined,
  type Log,
  macKeysOf,
  type NodeDescriber,
  type NodeId,
  OutboundRules,
  SHORT_PROOF_VERSION,
  systemClock,
  type TaskKey,
  toNodeError,
  VERSION,
} from "./core/mod.ts";
import { AccessPart, loginKeyOf } from "./node/access-part.ts";
import { addressOf, hostCheck, isRpcLocal, showAddress } from "./node/addresses.ts";
import { makeDataDir } from "./node/data-dir.ts";
import { makeAlerts } from "./node/alert-part.ts";
import { makeBandwidths } from "./node/bandwidths.ts";
import { makeBackups } from "./node/backup-part.ts";
import { namedPeersPart, openDiscoveryPart } from "./node/discovery-part.ts";
import { makeFilePart, openSpool } from "./node/file-part.ts";
import { makeRpc } from "./node/rpc-part.ts";
import { makeTracer, tracedPlugins } from "./node/trace-part.ts";
import { Readiness } from "./node/readiness.ts";
import { makeRateLimits } from "./node/rate-limits.ts";
import { LiveConfig, type ReadConfig } from "./node/live-config.ts";
import { TlsFiles, trustedIssuers } from "./node/tls-files.ts";
import { isPaid, openPaymentPart, pricesOf } from "./node/payment-part.ts";
import { openShardPart } from "./node/shard-part.ts";
import { pluginFiles } from "./plugins/mod.ts";
import type { Discovery } from "./discovery/mod.ts";
import type { PluginFiles } from "./plugins/mod.ts";
import { makeModules, makeTaskProvider, openPlugins, taskLimits } from "./node/task-parts.ts";
import { chargeDueWithoutChain, freeLedger } from "./payments/mod.ts";
import { createTaskRequester } from "./requester/mod.ts";
import { createMetrics, createRestApp, createRestServer, createTaskFastPath, type RestAppOptions } from "./rest/mod.ts";
import { createPeers } from "./rpc/client/mod.ts";
import { assertRuntimeSupported, Authenticator, HealthState } from "./rpc/mod.ts";
import { loadOrCreateNodeKey } from "./storage/node-key.ts";
import { openStore } from "./storage/mod.ts";

export interface StartNodeOptions {
  readonly config: Config;
  /** Where the values come from, to be shown on the web page. */
  readonly sources?: ReadonlyMap<string, ValueSource>;
  readonly log: Log;
  /** Reads the configuration anew, for {@link RunningNode.reload}; it throws `config_invalid`. */
  readonly reread?: () => ReadConfig;
  /** Told of the configuration after each reload. */
  readonly onReload?: (config: Config) => void;
}

export { restoreBackup } from "./node/backup-part.ts";
export { type LocalChain, startLocalChain } from "./payments/local-chain.ts";

/** A node that serves. */
export interface RunningNode {
  readonly nodeId: NodeId;
  /** Where RPC is served, each as `host:port`. */
  readonly rpcAddresses: readonly string[];
  /** Where REST is served, as `host:port`. */
  readonly restAddress: string;
  /** Reads the configuration anew and takes over what can change while it runs. Throws `config_invalid`, and then nothing changed. */
  reload(): ConfigChanges;
  /**
   * Drains and stops: takes nothing new, lets running tasks end for `graceMs`, hands the rest back to the queue, closes the store.
   * A second call waits for the first.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/**
 * Builds a node from its configuration and starts it: the one place where implementations meet the interfaces that their
 * consumers declare. When a step fails, what was started is stopped again and the NodeError of the step is thrown.
 */
export async function startNode({ config, sources, log, reread, onReload }: StartNodeOptions): Promise<RunningNode> {
  assertRuntimeSupported();
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.reverse().splice(0)) {
      await close().catch((error: unknown) => log.error("A part of the node did not stop cleanly", { error }));
    }
  };
  try {
    const live = new LiveConfig({ config, sources: sources ?? new Map(), reread, log });
    if (onReload !== undefined) live.onChange(onReload);
    return await assemble({ live, log, closers, closeAll });
  } catch (error) {
    await closeAll();
    throw toNodeError(error);
  }
}

interface Assembly extends Pick<StartNodeOptions, "log"> {
  readonly live: LiveConfig;
  /** What to stop, in the order in which it was started. */
  readonly closers: (() => Promise<void>)[];
  readonly closeAll: () => Promise<void>;
}

async function assemble({ live, log, closers, closeAll }: Assembly): Promise<RunningNode> {
  const { config } = live;
  const outbound = new OutboundRules(config.node.allowNetworks);
  const { dataDir } = config.node;
  await makeDataDir(dataDir);
  const paths = dataPaths(dataDir);
  const { key } = await loadOrCreateNodeKey({ dataDir, passphrase: config.node.keyPassphrase });
  const clock = systemClock;
  const metrics = createMetrics();

  const tracer = makeTracer(config, { nodeId: key.nodeId, log, metrics });
  if (tracer !== undefined) closers.push(() => tracer.close());
  const store = await openStore(paths.database, { sync: config.storage.sync, log });
  closers.push(() => store.close());
  // Files come later than the plugins that may use them.
  const reachable: { files?: PluginFiles } = {};
  const plugins = await openPlugins({
    config,
    self: key.nodeId,
    live,
    outbound,
    log,
    metrics,
    files: () => reachable.files,
  });
  closers.push(() => plugins.close());
  const modules = makeModules({ config, self: key.nodeId, live, plugins, metrics });

  // Peers are known later than they can be dialled.
  const known: { discovery?: Discovery } = {};
  const chainId = isPaid(config) ? config.payments.chainId : 0;
  const peers = createPeers({
    requester: key.nodeId,
    ...trustedIssuers(config),
    rules: {
      outbound,
      applyTo: (target) => known.discovery?.isStrangers(target) === true,
      applyToCaller: (target) => isConfined() && known.discovery?.isNamed(target) !== true,
    },
    key,
    signTasks: isPaid(config),
    chainId,
    limits: {
      maxMessageBytes: config.rpc.maxMessageBytes,
      maxSessions: config.requester.maxPeers,
      connectTimeoutMs: config.requester.dialTimeoutMs,
      idleTimeoutMs: config.requester.idleTimeoutMs,
      taskTimeoutMs: config.rpc.requestTimeoutMs,
    },
  });
  closers.push(() => peers.close());
  const payments = await openPaymentPart({
    config,
    key,
    store: store.payments,
    desk: (target) => peers.dialDesk(target),
    clock,
    log,
    metrics,
  });
  if (payments !== undefined) closers.push(() => payments.close());
  const discovery = await openDiscoveryPart({
    config,
    outbound,
    key,
    store: store.peers,
    payments,
    clock,
    log,
    metrics,
  });
  known.discovery = discovery;
  closers.push(() => discovery.close());

  const limits = taskLimits(config);
  const provider = makeTaskProvider({
    config,
    key,
    limits,
    store: store.tasks,
    host: tracedPlugins(plugins, tracer),
    ledger: payments?.earnings.tasks ?? freeLedger,
    clock,
    log,
    metrics,
  });
  closers.push(() => provider.close());
  const bandwidths = makeBandwidths(live);
  const earned = payments?.earnings.storage ?? freeLedger;
  const shards = await openShardPart({
    config,
    key,
    ledger: earned,
    custody: payments?.keeper,
    bandwidths,
    log,
    metrics,
  });
  if (shards !== undefined) closers.push(() => shards.close());
  const requester = createTaskRequester({
    local: provider,
    dial: (target) => discovery.observe(target, peers.dial(target)),
    chooser: discovery,
    modules: { source: plugins.modules!, dial: (target) => peers.dialModules(target) },
    nodeAt: async (target, signal) => (await peers.info(target, signal)).nodeId,
    onDissent: (target, error) => discovery.taskFailed(target, error),
    store: store.requests,
    ledger: payments?.spendings.tasks ?? freeLedger,
    clock,
    log,
    self: key.nodeId,
  });
  closers.push(() => requester.close());
  const files = await makeFilePart({
    config,
    live,
    store,
    peers,
    discovery,
    ledger: payments?.spendings.storage ?? freeLedger,
    custody: payments?.holder,
    bandwidths,
    key,
    log,
    metrics,
  });
  closers.push(() => files.close());
  reachable.files = pluginFiles(files, key.nodeId);
  const spool = await openSpool(config);
  closers.push(() => spool.close());

  const macKeys = macKeysOf(key);
  const node: NodeDescriber = {
    describe: () => ({
      nodeId: key.nodeId,
      name: config.node.name,
      version: VERSION,
      plugins: plugins.list(),
      issuedAt: clock.now(),
      limits: limits.max,
      ...(config.node.region !== "" && { region: config.node.region }),
      macKey: macKeys.publicKey,
      macVersion: SHORT_PROOF_VERSION,
      ...(chainId !== 0 && { chainId }),
      ...(live.config.plugins.acceptModules && { moduleBytes: config.plugins.maxModuleBytes }),
    }),
    sign: (message) => key.sign(message),
  };
  const hasEnded = async (task: TaskKey) => (await store.tasks.get(task))?.record.state === "succeeded";
  if (payments === undefined) await chargeDueWithoutChain(store.payments, { clock, hasEnded });
  else await payments.earnings.chargeDue(hasEnded);
  const recovered = await provider.recover();
  await requester.recover();
  if (recovered.queued + recovered.interrupted > 0) log.info("Took up tasks from before", { ...recovered });

  const health = new HealthState(true);
  const readiness = new Readiness({ health, store, dataDir, clock, log });
  closers.push(() => Promise.resolve(readiness.stop()));
  const stopping = new AbortController();
  const { maxFileBytes } = config.files;
  const access = new AccessPart(config);
  const { tokens } = access;
  const rates = makeRateLimits(config, metrics);
  live.onChange((changed) => {
    rates.configure(changed);
    tracer?.configure(changed.tracing);
    outbound.allow(changed.node.allowNetworks);
    payments?.earnings.reprice(pricesOf(changed));
  });
  const tlsFiles = new TlsFiles(config, key.nodeId);
  const tlsOf = (group: TlsGroup) => {
    const tls = tlsFiles.of(group);
    return tls === undefined ? {} : { tls };
  };
  live.addPart(tlsFiles);
  live.addPart(access);
  live.addPart(namedPeersPart(discovery));
  const alerts = makeAlerts({
    config: () => live.config,
    outbound,
    nodeId: key.nodeId,
    payments,
    tls: (group) => tlsFiles.of(group),
    log,
    metrics,
  });
  closers.push(() => alerts.close());
  const rpc = makeRpc({
    ...tlsOf("rpc"),
    config,
    log,
    metrics,
    tasks: provider,
    modules,
    node,
    health,
    limiter: rates.rpc,
    tracer,
    // Nobody spends another's money by saying another's name.
    ...(payments === undefined ? {} : { payments: payments.earnings, believesClaims: false }),
    self: key.nodeId,
    authenticator: new Authenticator({ self: key.nodeId, chainId, clock, macKeys }),
    files: {
      files,
      maxFileBytes,
      access: { self: key.nodeId, clock, loopbackOnly: isRpcLocal(config), tokens },
    },
    ...(shards === undefined ? {} : { storage: shards.provider }),
  });
  closers.push(() => rpc.close({ graceMs: 0 }));
  tlsFiles.serve("rpc", rpc);
  const rpcAddresses: string[] = [];
  for (const listen of config.rpc.listen) rpcAddresses.push(showAddress(await rpc.listen(addressOf(listen))));

  const restListen = addressOf(config.rest.listen);
  const restOptions: RestAppOptions = {
    tasks: requester,
    plugins,
    modules: { service: modules, kept: plugins.modules! },
    files: { service: files, maxFileBytes, spool },
    ...(shards === undefined ? {} : { shards: shards.keeping }),
    node,
    peers,
    peerBook: discovery.admin,
    ...(payments === undefined ? {} : { payments: payments.admin }),
    metrics,
    log,
    clock,
    requester: key.nodeId,
    health: {
      live: () => true,
      ready: () => readiness.answer(),
    },
    alerts: () => alerts.board.list(),
    settings: () => effectiveSettings(live.config, live.sources),
    reload: () => live.reload(),
    backup: makeBackups(config, store),
    limits: config.rest,
    limiter: rates.rest,
    tracer,
    stopping: stopping.signal,
    ...hostCheck(config, restListen),
    allowedOrigins: config.rest.allowedOrigins,
    tokens,
    loginKey: loginKeyOf(key),
  };
  const rest = createRestServer({
    app: createRestApp(restOptions),
    fastPath: createTaskFastPath(restOptions),
    ...restListen,
    limits: config.rest,
    log,
    ...tlsOf("rest"),
  });
  tlsFiles.serve("rest", rest);
  const restAddress = showAddress(await rest.listen());
  closers.push(() => rest.close());

  files.start();
  discovery.start();
  alerts.board.start();
  readiness.start();

  const drain = async (graceMs: number) => {
    readiness.drain();
    stopping.abort();
    await Promise.all([rpc.close({ graceMs }), rest.close({ drainMs: graceMs }), provider.drain({ graceMs })]);
    await closeAll();
  };
  let closing: Promise<void> | undefined;
  return {
    nodeId: key.nodeId,
    rpcAddresses,
    restAddress,
    reload: () => live.reload(),
    close: ({ graceMs }) => closing ??= drain(graceMs),
  };
}
