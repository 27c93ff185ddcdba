import {
  type Clock,
  type Log,
  NodeError,
  type NodeId,
  type OutboundRules,
  type PeerChange,
  type PeerStore,
  type PeerView,
} from "../core/mod.ts";
import { regionOf } from "./claims.ts";
import { afterAnswer, afterDeed, afterSilence, type Deed } from "./peer-history.ts";
import {
  decodeListed,
  decodePeer,
  encodeListed,
  encodePeer,
  type ListedNode,
  newRecord,
  type PeerRecord,
} from "./peer-record.ts";
import { type Entry, viewOf } from "./peer-view.ts";
import { PeerWrites, type RecordKind } from "./peer-writes.ts";
import type { ProbeAnswer, RegistryEvent } from "./ports.ts";
import { hostOf, isForbidden, targetOfUrl } from "./target.ts";

export interface PeerBookOptions {
  readonly store: PeerStore;
  readonly clock: Clock;
  readonly log: Log;
  /** This node, which is no peer of itself. */
  readonly self: NodeId;
  /** Targets that the configuration names. */
  readonly static: readonly string[];
  /** The most nodes of the registry, and the most peers that the owner takes in. */
  readonly maxPeers: number;
  /** Which addresses the registry may name. */
  readonly outbound: Pick<OutboundRules, "check">;
}

/** What became of an event of the registry. */
export type Listing = "listed" | "unlisted" | "bad_url" | "forbidden" | "crowded_host" | "full" | "self";

/** What a node that was not asked yet is worth, beside those that were. */
const NEWCOMER = 1;
/** How many nodes of the registry may be at one host. */
const MAX_PER_HOST = 16;

/** The peers that this node knows, and what names each: the configuration, the owner, the registry. In memory, and in the database. */
export class PeerBook {
  readonly #options: PeerBookOptions;
  readonly #entries = new Map<string, Entry>();
  /** By the node's id in lower case, in the order in which they were listed. */
  readonly #listed = new Map<string, ListedNode>();
  readonly #perHost = new Map<string, number>();
  readonly #writes: PeerWrites;

  constructor(options: PeerBookOptions) {
    this.#options = options;
    const { store, log } = options;
    this.#writes = new PeerWrites({ store, log, textOf: (kind, key) => this.#textOf(kind, key) });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Reads what an earlier process wrote. What cannot be read is forgotten. */
  async load(): Promise<void> {
    const { store, static: fixed, log } = this.#options;
    let damaged = 0;
    const records = new Map<string, PeerRecord>();
    for (const [key, text] of await store.entries("peer")) {
      const record = decodePeer(text);
      if (record?.target === key) records.set(key, record);
      else damaged++;
      this.#writes.mark("peer", key); // those that nothing names any more go with the next write
    }
    for (const target of fixed) this.#entries.set(target, this.#entryOf(target, records.get(target), true));
    for (const record of records.values()) {
      if (record.added && !this.#entries.has(record.target)) {
        this.#entries.set(record.target, this.#entryOf(record.target, record, false));
      }
    }
    const listed: ListedNode[] = [];
    for (const [key, text] of await store.entries("listed")) {
      const one = decodeListed(text);
      if (one?.node.toLowerCase() === key) listed.push(one);
      else damaged++;
      this.#writes.mark("listed", key);
    }
    for (const one of listed.sort((a, b) => a.block - b.block)) this.#list(one, records.get(one.target));
    if (damaged > 0) log.warn("Some peers could not be read and are forgotten", { damaged });
    await this.flush();
  }

  /** Targets of all peers. */
  targets(): Iterable<string> {
    return this.#entries.keys();
  }

  record(target: string): PeerRecord | undefined {
    return this.#entries.get(target)?.record;
  }

  has(target: string): boolean {
    return this.#entries.has(target);
  }

  isStatic(target: string): boolean {
    return this.#entries.get(target)?.isStatic === true;
  }

  /** Whether only the registry, where anybody writes, names a target. */
  isStrangers(target: string): boolean {
    return this.#entries.has(target) && !this.isNamed(target);
  }

  /** Whether the operator named the target. */
  isNamed(target: string): boolean {
    const entry = this.#entries.get(target);
    return entry !== undefined && (entry.isStatic || entry.record.added);
  }

  view(target: string): PeerView | undefined {
    const entry = this.#entries.get(target);
    return entry === undefined ? undefined : this.#viewOf(entry);
  }

  views(): PeerView[] {
    return [...this.#entries.values()].map((entry) => this.#viewOf(entry));
  }

  /** Takes over what the configuration names now. What only it named before is forgotten. */
  setStatic(targets: readonly string[]): void {
    const named = new Set(targets);
    for (const [target, entry] of this.#entries) {
      if (!entry.isStatic || named.has(target)) continue;
      entry.isStatic = false;
      this.#dropIfUnnamed(target, entry);
    }
    for (const target of named) {
      const entry = this.#entries.get(target);
      if (entry === undefined) this.#entries.set(target, this.#entryOf(target, undefined, true));
      else entry.isStatic = true;
    }
  }

  /** Takes a peer in. Throws `failed_precondition` when there are too many. */
  async add(target: string): Promise<void> {
    const { clock, maxPeers } = this.#options;
    const known = this.#entries.get(target);
    if (known === undefined || !known.record.added) {
      let added = 0;
      for (const { record } of this.#entries.values()) if (record.added) added++;
      if (added >= maxPeers) {
        throw new NodeError(
          "failed_precondition",
          `Cannot add ${target}: ${added} peers were added, which is the limit (peers.max); remove one first`,
          { data: { target, limit: maxPeers } },
        );
      }
    }
    const entry = known ?? { record: newRecord(target, clock.now()), isStatic: false, listings: 0 };
    this.#entries.set(target, entry);
    this.#change(entry, { ...entry.record, added: true, blocked: false });
    await this.flush();
  }

  /** Forgets a peer, or blocks it when the registry names it. Throws `failed_precondition` for a static one. */
  async remove(target: string): Promise<void> {
    const entry = this.#entries.get(target)!;
    if (entry.isStatic) {
      throw new NodeError(
        "failed_precondition",
        `The configuration names ${target}: remove it there (peers.static, requester.providers)`,
        { data: { target } },
      );
    }
    this.#change(entry, { ...entry.record, added: false, blocked: entry.listings > 0 });
    this.#dropIfUnnamed(target, entry);
    await this.flush();
  }

  /** A peer answered. */
  answered(target: string, answer: ProbeAnswer): void {
    const entry = this.#entries.get(target);
    if (entry !== undefined) this.#change(entry, afterAnswer(entry.record, answer, this.#options.clock.now()));
  }

  /** A peer did not answer, or not as a node does. */
  silent(target: string, error: NodeError): void {
    const entry = this.#entries.get(target);
    if (entry !== undefined) this.#change(entry, afterSilence(entry.record, error, this.#options.clock.now()));
  }

  /** Something was done by a peer, well or not. With `gone` it is out of reach until it answers again. Unknown targets are no peers. */
  outcome(target: string, deed: Deed): void {
    const entry = this.#entries.get(target);
    if (entry === undefined) return;
    const record = afterDeed(entry.record, deed, this.#options.clock.now());
    if (record !== undefined) this.#change(entry, record);
  }

  /** Applies an event of the registry. */
  registered(event: RegistryEvent): Listing {
    const { self, outbound } = this.#options;
    const key = event.node.toLowerCase();
    const old = this.#listed.get(key);
    const target = targetOfUrl(event.url);
    const region = regionOf(event.region);
    if (old !== undefined && old.target === target) {
      this.#listed.set(key, { ...old, region, block: event.block, stale: false });
      this.#writes.touch("listed", key);
      return "listed";
    }
    if (old !== undefined) this.#unlist(key, old);
    if (event.url === "") return "unlisted";
    if (key === self.toLowerCase()) return "self";
    if (target === undefined) return "bad_url";
    if (!this.#entries.has(target) && isForbidden(target, outbound)) return "forbidden";
    if ((this.#perHost.get(hostOf(target)) ?? 0) >= MAX_PER_HOST) return "crowded_host";
    if (!this.#makeRoom()) return "full";
    this.#list({ node: event.node, target, region, block: event.block, stale: false }, undefined);
    return "listed";
  }

  /** Marks all listings as read from a chain that is no more; those that are not read again go with {@link dropStale}. */
  markStale(): void {
    for (const [key, listed] of this.#listed) {
      this.#listed.set(key, { ...listed, stale: true });
      this.#writes.touch("listed", key);
    }
  }

  dropStale(): void {
    for (const [key, listed] of this.#listed) if (listed.stale) this.#unlist(key, listed);
  }

  /** Writes what changed, with further changes, all or none. */
  async flush(more: readonly PeerChange[] = []): Promise<void> {
    await this.#writes.flush(more);
  }

  #textOf(kind: RecordKind, key: string): string | undefined {
    if (kind === "peer") {
      const entry = this.#entries.get(key);
      return entry && encodePeer(entry.record);
    }
    const listed = this.#listed.get(key);
    return listed && encodeListed(listed);
  }

  #entryOf(target: string, record: PeerRecord | undefined, isStatic: boolean): Entry {
    return { record: record ?? newRecord(target, this.#options.clock.now()), isStatic, listings: 0 };
  }

  #list(listed: ListedNode, known: PeerRecord | undefined): void {
    const { target } = listed;
    const key = listed.node.toLowerCase();
    const entry = this.#entries.get(target) ?? this.#entryOf(target, known, false);
    this.#entries.set(target, entry);
    entry.listings++;
    this.#listed.set(key, listed);
    const host = hostOf(target);
    this.#perHost.set(host, (this.#perHost.get(host) ?? 0) + 1);
    this.#writes.touch("listed", key);
    this.#writes.touch("peer", target);
  }

  #unlist(key: string, { target }: ListedNode): void {
    this.#listed.delete(key);
    this.#writes.touch("listed", key);
    const host = hostOf(target);
    const left = (this.#perHost.get(host) ?? 1) - 1;
    if (left > 0) this.#perHost.set(host, left);
    else this.#perHost.delete(host);
    const entry = this.#entries.get(target);
    if (entry === undefined) return;
    entry.listings--;
    this.#dropIfUnnamed(target, entry);
  }

  #dropIfUnnamed(target: string, entry: Entry): void {
    if (entry.isStatic || entry.record.added || entry.listings > 0) return;
    this.#entries.delete(target);
    this.#writes.touch("peer", target);
  }

  /** Lets the oldest of the worst go when the book is full. Never one that is better than a newcomer. */
  #makeRoom(): boolean {
    if (this.#listed.size < this.#options.maxPeers) return true;
    let victim: string | undefined;
    let worst = NEWCOMER + 0.5;
    for (const [key, listed] of this.#listed) {
      const worth = this.#worthOf(listed);
      if (worth >= worst) continue;
      worst = worth;
      victim = key;
      if (worth === 0) break;
    }
    if (victim === undefined) return false;
    this.#unlist(victim, this.#listed.get(victim)!);
    return true;
  }

  #worthOf({ node, target }: ListedNode): number {
    const { record } = this.#entries.get(target)!;
    if (record.blocked) return 4; // else it could come back by being pushed out
    if (record.nodeId === undefined) return record.failures === 0 ? NEWCOMER : 0;
    if (record.nodeId.toLowerCase() !== node.toLowerCase()) return 0;
    const { good, bad } = record.experience;
    if (good > bad) return 3;
    return record.failures === 0 && good === bad ? 2 : 0;
  }

  #change(entry: Entry, record: PeerRecord): void {
    entry.record = record;
    this.#writes.touch("peer", record.target);
  }

  #viewOf(entry: Entry): PeerView {
    const { self, clock } = this.#options;
    const { nodeId } = entry.record;
    return viewOf(entry, { self, nowMs: clock.now(), listed: nodeId && this.#listed.get(nodeId.toLowerCase()) });
  }
}
