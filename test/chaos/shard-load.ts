import {
  type CallContext,
  type ErrorCode,
  newSecretKey,
  NodeError,
  type NodeId,
  type NodeKey,
  nodeKeyOf,
  type ShardReceipt,
  type ShardRecord,
} from "../../src/core/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import type { Place } from "./place.ts";
import { bytesOf, type Random, sleep } from "./random.ts";

interface Known {
  readonly number: number;
  readonly sizeBytes: number;
  /** Undefined for one whose lease is meant to end. */
  receipt: ShardReceipt | undefined;
}

const LONG_LEASE_MS = 3_600_000;
const SHORT_LEASE_MS = 300;
/** Long: a machine that is busy starting nodes answers late. */
const CALL_MS = 60_000;
/** What a node that is busy, starting or dying answers with: `target_misbehaved` when it takes a connection and then says nothing for long. */
const PASSING: readonly ErrorCode[] = ["deadline_exceeded", "target_unreachable", "target_misbehaved"];
/** How often what must succeed is asked for when the way to the provider fails. */
const TRIES = 5;
const MAX_LEAVES = 1500;
/** No more shards than this are kept at one provider at a time. */
const MOST = 8;
/** Between two things that a lane does: enough that starts are not starved. */
const REST_MS = 40;

/** An owner of shards at one provider that is killed at any time: puts, renews, reads and removes them, and remembers what was acknowledged. */
export class ShardLoad {
  readonly counts = { put: 0, renewed: 0, read: 0, removed: 0, lapsing: 0, cutOff: 0 };
  readonly violations: string[] = [];
  readonly #key: NodeKey = nodeKeyOf(newSecretKey());
  readonly #provider: Place;
  readonly #stored = new Map<string, Known>();
  /** Acknowledged with a short lease: they go by themselves. */
  readonly #lapsing = new Set<string>();
  readonly #removed = new Set<string>();
  /** May be there or not: their calls were cut off. */
  readonly #doubtful = new Set<string>();
  /** In the hands of a lane: no other lane removes what one reads. */
  readonly #held = new Set<string>();
  readonly #peers;
  #next = 1;
  #stopped = false;
  #paused = false;
  #acting = 0;

  constructor(provider: Place) {
    this.#provider = provider;
    this.#peers = createPeers({
      requester: this.#key.nodeId,
      key: this.#key,
      limits: { requestTimeoutMs: CALL_MS },
    });
  }

  /** Whose shards they are. */
  get owner(): NodeId {
    return this.#key.nodeId;
  }

  get acknowledged(): number {
    return this.#stored.size;
  }

  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    await this.#peers.close();
  }

  async run(random: Random, step: () => void): Promise<void> {
    while (!this.#stopped) {
      if (this.#provider.node === undefined || this.#paused) {
        await sleep(20);
        continue;
      }
      this.#acting++;
      try {
        await this.#act(random);
        step();
        await sleep(random.int(0, REST_MS));
      } catch (error) {
        if (error instanceof NodeError && ["not_found", "data_corrupt", "storage_failed"].includes(error.code)) {
          this.violations.push(`${this.#provider.name}: ${error.message}`);
        }
        this.counts.cutOff++;
        await sleep(10);
      } finally {
        this.#acting--;
      }
    }
  }

  get #shards() {
    return this.#peers.dialShards(this.#provider.target);
  }

  #ctx(): CallContext {
    return { requester: this.#key.nodeId, signal: AbortSignal.timeout(CALL_MS), requestId: "chaos" };
  }

  async #act(random: Random): Promise<void> {
    const ids = [...this.#stored.keys()].filter((id) => !this.#held.has(id));
    const what = ids.length === 0
      ? "put"
      : this.#stored.size >= MOST
      ? "remove"
      : random.weighted({ put: 45, renew: 20, read: 15, remove: 20 });
    if (what === "put") return await this.#put(random);
    const id = random.pick(ids);
    this.#held.add(id);
    try {
      await this.#actOn(id, what);
    } finally {
      this.#held.delete(id);
    }
  }

  async #actOn(id: string, what: "renew" | "read" | "remove"): Promise<void> {
    const known = this.#stored.get(id)!;
    if (what === "renew") {
      const receipt = await this.#shards.renew(id, LONG_LEASE_MS, this.#ctx());
      known.receipt = receipt;
      this.counts.renewed++;
    } else if (what === "read") {
      await this.#read(id, known);
      this.counts.read++;
    } else {
      this.#stored.delete(id);
      this.#doubtful.add(id);
      await this.#shards.remove(id, this.#ctx());
      this.#doubtful.delete(id);
      this.#removed.add(id);
      this.counts.removed++;
    }
  }

  async #put(random: Random): Promise<void> {
    const number = this.#next++;
    const id = number.toString(16).padStart(32, "0");
    const sizeBytes = 1024 * random.pick([1, 64, 65, random.int(1, MAX_LEAVES), MAX_LEAVES]);
    const lapses = random.chance(0.4);
    const leaseMs = lapses ? SHORT_LEASE_MS : LONG_LEASE_MS;
    const order = { id, maxBytes: sizeBytes, leaseMs };
    this.#doubtful.add(id);
    const receipt = await this.#shards.put(pieces(bytesOf(number, sizeBytes)), order, this.#ctx());
    this.#doubtful.delete(id);
    if (lapses) {
      this.#lapsing.add(id);
      this.counts.lapsing++;
    } else {
      this.#stored.set(id, { number, sizeBytes, receipt });
    }
    this.counts.put++;
  }

  async #read(id: string, { number, sizeBytes }: Known): Promise<void> {
    const { bytes } = await this.#shards.get(id, { start: 0, end: sizeBytes }, this.#ctx());
    if (Buffer.from(bytes).equals(bytesOf(number, sizeBytes))) return;
    this.violations.push(`${this.#provider.name}: shard ${id} reads back otherwise`);
  }

  /** Against a provider that is up: every acknowledged shard is there until its lease ends, and what was removed is not. */
  async verify({ readAll = false } = {}): Promise<void> {
    this.#paused = true;
    try {
      // What its owner is doing meanwhile must not be taken for a fault.
      while (this.#acting > 0) await sleep(5);
      const listed = await this.#list();
      const fault = (text: string) => this.violations.push(`${this.#provider.name}: ${text}`);
      for (const [id, { receipt }] of this.#stored) {
        const record = listed.get(id);
        const told = receipt!.record;
        if (record === undefined) fault(`shard ${id} was acknowledged and is missing`);
        else if (record.root !== told.root) fault(`shard ${id} has another root than was acknowledged`);
        else if (record.expiresAt < told.expiresAt) fault(`shard ${id} lost a renewal that was acknowledged`);
      }
      for (const id of this.#removed) if (listed.has(id)) fault(`shard ${id} is back although it was removed`);
      if (readAll) { for (const [id, known] of this.#stored) await patiently(() => this.#read(id, known)); }
    } finally {
      this.#paused = false;
    }
  }

  /** Whether every shard with a short lease is gone. */
  async hasExpired(): Promise<boolean> {
    const listed = await this.#list();
    return [...this.#lapsing].every((id) => !listed.has(id));
  }

  async removeAll(): Promise<void> {
    for (const id of [...this.#stored.keys(), ...this.#doubtful, ...this.#lapsing]) {
      await patiently(() => this.#shards.remove(id, this.#ctx()));
    }
  }

  async #list(): Promise<Map<string, ShardRecord>> {
    const all = new Map<string, ShardRecord>();
    let pageToken = "";
    do {
      const page = await patiently(() => this.#shards.list({ pageSize: 1000, pageToken }, this.#ctx()));
      for (const record of page.shards) all.set(record.id, record);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return all;
  }
}

/** The provider is up, yet the connection to the one before it may only now turn out to be dead. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await work();
    } catch (error) {
      const isLate = error instanceof NodeError && PASSING.includes(error.code);
      if (!isLate || tries === TRIES) throw error;
      await sleep(500);
    }
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}
