/**
 * Knows other nodes. Peers come from the configuration, from the owner, and from the registry, which `registry-follower.ts` reads on from a
 * checkpoint. The peer book (`peer-book.ts`) holds them within a bound and keeps them in the database; `probe-schedule.ts` asks each now
 * and then who it is, what it offers and how fast it answers. What a peer says of itself (`claims.ts`) is cut to a bound, shown as its claim,
 * and decides only whether it fits a task (`choose-peer.ts`); its score (`experience.ts`) comes from what it did for this node: tasks, which
 * `observe-tasks.ts` watches, and audits of files.
 */
export { openDiscovery } from "./discovery.ts";
export type { Discovery, DiscoveryLimits, DiscoveryOptions, ShardPeer, ShardPlace } from "./discovery.ts";
export type {
  PeerProber,
  ProbeAnswer,
  RegistryCheckpoint,
  RegistryEvent,
  RegistryPage,
  RegistryReader,
} from "./ports.ts";
