import { type Config, dataPaths } from "../config/mod.ts";
import { type Log, type Metrics, type NodeKey, policyOf, SteadyClock, systemClock } from "../core/mod.ts";
import type { Discovery } from "../discovery/mod.ts";
import { createFileRequester, DEFAULT_FILE_SETTINGS, fileKeyringOf, type FileRequester } from "../requester/mod.ts";
import type { CustodyHolder } from "../payments/mod.ts";
import type { StorageLedger } from "../requester/mod.ts";
import type { Peers } from "../rpc/client/mod.ts";
import { loadOrCreateMasterKey } from "../storage/master-key-file.ts";
import { FolderSpool, type Store } from "../storage/mod.ts";
import type { Bandwidths } from "./bandwidths.ts";
import type { LiveConfig } from "./live-config.ts";

export interface FilePartOptions {
  readonly config: Config;
  readonly live: LiveConfig;
  readonly store: Store;
  readonly peers: Peers;
  readonly discovery: Discovery;
  readonly ledger: StorageLedger;
  /** Takes what providers put at stake on shards, when the node has an Audit contract. */
  readonly custody: CustodyHolder | undefined;
  readonly bandwidths: Bandwidths;
  readonly key: NodeKey;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Where the steady clock's time is kept, by which files wait. */
const STEADY_TIME = "files/steady-time";

/** Makes what keeps this node's files at others. */
export async function makeFilePart(
  { config, live, store, peers, discovery, bandwidths, custody, ...rest }: FilePartOptions,
): Promise<FileRequester> {
  const { dataDir, keyPassphrase: passphrase } = config.node;
  const masterKey = await loadOrCreateMasterKey({ dataDir, passphrase, log: rest.log });
  const { maxFileBytes: _, custodyPenalty, policy, ...settings } = config.files;
  // Times that files wait for were set by it: it must not begin before them.
  const kept = Number(await store.meta.get(STEADY_TIME));
  const keptMs = Number.isSafeInteger(kept) ? kept : 0;
  return createFileRequester({
    ...rest,
    self: rest.key.nodeId,
    store: store.files,
    dial: (target) => peers.dialShards(target),
    peers,
    providers: () => discovery.shardPeers({ namedOnly: !config.peers.placeShards }),
    onOutcome: (place, outcome) => discovery.shardOutcome(place, outcome),
    keys: fileKeyringOf(masterKey),
    bandwidth: bandwidths,
    ...(custody !== undefined && { custody }),
    settings: {
      ...DEFAULT_FILE_SETTINGS,
      ...settings,
      defaultPolicy: policyOf(policy),
      asksCustody: custodyPenalty !== "0",
      get leaseMs() {
        return live.config.files.leaseMs;
      },
      get auditIntervalMs() {
        return live.config.files.auditIntervalMs;
      },
    },
    clock: systemClock,
    steady: new SteadyClock({ clock: systemClock, startMs: Math.max(keptMs, systemClock.now()) }),
    keepTime: (nowMs) => store.meta.put(STEADY_TIME, String(nowMs)),
  });
}

/** Opens the folder of uploads that can go on. */
export function openSpool(
  { node: { dataDir }, files: { incomingBytes, incomingTtlMs } }: Config,
): Promise<FolderSpool> {
  const folder = dataPaths(dataDir).incoming;
  return FolderSpool.open({ folder, maxBytes: incomingBytes, ttlMs: incomingTtlMs, clock: systemClock });
}
