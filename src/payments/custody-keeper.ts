import {
  type AuditSite,
  type Clock,
  CUSTODY_NOT_RELEASED,
  custodyId,
  custodyOf,
  type CustodyRelease,
  type Hex32,
  KeyedQueue,
  type LeafProof,
  type Log,
  MIN_CUSTODY_GRACE_MS,
  NodeError,
  type NodeKey,
  type PaymentStore,
  releaseDigest,
  type Settlement,
  type ShardCustody,
  type ShardKey,
  type ShardLease,
  shardLeaseDigest,
  type ShardRecord,
  toHex,
  toNodeError,
  type Wei,
} from "../core/mod.ts";
import type { AuditCalls } from "./audit-calls.ts";
import type { Curve } from "./curve.ts";
import type { CustodyBook, Statement } from "./custody-book.ts";
import { isSigner } from "./offer-book.ts";

export interface CustodyKeeperOptions {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  readonly site: AuditSite;
  readonly penalty: Wei;
  readonly book: CustodyBook;
  readonly calls: AuditCalls;
  readonly store: PaymentStore;
  readonly curve: Curve;
  readonly chain: { healthy(): boolean };
  readonly confirmations: number;
  readonly clock: Clock;
  readonly log: Log;
  /** How often it is looked for challenges, in milliseconds. */
  readonly watchMs: number;
}

/** Where the newest blocks were read to. */
const CHECKPOINT = "checkpoint";
/** About what public endpoints answer. */
const MAX_SPAN = 10_000;
/** By how much the chain's time may be behind this node's clock. */
const CHAIN_LAG_MS = 3_600_000;

/**
 * The provider's side of custody: signs statements, each stored before anybody has it; lets no shard go that it has signed for without the
 * owner's release; and answers challenges with a leaf of the shard, or with the release. What was read of the chain counts as read only once every
 * challenge in it is answered, so that a crash forgets none.
 */
export class CustodyKeeper {
  readonly #options: CustodyKeeperOptions;
  /** Work on shards, by {@link nameOf}. */
  readonly #turns = new KeyedQueue();
  /** Challenges that are not answered yet, and the blocks that they are in. */
  readonly #open = new Map<Hex32, number>();
  readonly #timer: NodeJS.Timeout;
  #prove: ((shard: ShardKey, leaf: number) => Promise<LeafProof>) | undefined;
  #readTo: number | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: CustodyKeeperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.look(), options.watchMs);
    this.#timer.unref();
  }

  async load(): Promise<void> {
    const [entry] = await this.#options.store.entries("audit");
    const block = Number(entry?.[1]);
    if (entry?.[0] === CHECKPOINT && Number.isSafeInteger(block)) this.#readTo = block;
  }

  /** Tells where leaves are had from; before that, nothing is answered. */
  proveWith(prove: (shard: ShardKey, leaf: number) => Promise<LeafProof>): void {
    this.#prove = prove;
    void this.look();
  }

  async apart<T>(shard: ShardKey, work: () => Promise<T>): Promise<T> {
    return await this.#turns.run(nameOf(shard), work);
  }

  async sign(record: ShardRecord, lease: ShardLease): Promise<ShardCustody> {
    const { key, settlement: at, site, penalty, book, curve, clock } = this.#options;
    if (!isSigner(curve, shardLeaseDigest(at, record, lease), lease.signature, key.nodeId)) {
      throw new NodeError("failed_precondition", `That is not the newest lease of shard ${record.id}: renew it first`, {
        data: { id: record.id },
      });
    }
    const custody = custodyOf(record, { provider: key.nodeId, penalty, at, lease });
    if (custody.expiresAt * 1000 <= clock.now()) {
      throw new NodeError("failed_precondition", `The lease of shard ${record.id} is over: renew it first`);
    }
    if (record.graceMs < MIN_CUSTODY_GRACE_MS) {
      throw new NodeError(
        "failed_precondition",
        `Shard ${record.id} was put when shards were dropped ${record.graceMs} ms after their lease, too soon for a challenge: put it anew`,
      );
    }
    // Nothing is signed that could be challenged in a block that will not be read.
    if (this.#readTo === undefined) await this.#begin();
    const digest = custodyId(site, custody);
    const id = toHex(digest);
    const known = book.get(id);
    if (known !== undefined) return { penalty: known.custody.penalty, signature: known.signature };
    const signature = key.signDigest(digest);
    const shard = { owner: record.owner, id: record.id };
    await book.put(id, { v: 1, role: "provider", custody, signature, shard });
    return { penalty, signature };
  }

  async release(shard: ShardKey, releases: readonly CustodyRelease[]): Promise<void> {
    const { site, book, curve, clock } = this.#options;
    const bound = book.over("provider", shard.id)
      .filter(([, one]) => nameOf(one.shard) === nameOf(shard) && one.release === undefined)
      .filter(([id, { custody }]) => custody.expiresAt * 1000 + CHAIN_LAG_MS > clock.now() || this.#open.has(id));
    const missing: Hex32[] = [];
    for (const [id, statement] of bound) {
      const given = releases.find(({ custody, signature }) =>
        custody === id && isSigner(curve, releaseDigest(site, id), signature, statement.custody.requester)
      );
      if (given === undefined) missing.push(id);
      else await book.put(id, { ...statement, release: given.signature });
    }
    if (missing.length === 0) return;
    throw new NodeError(
      "failed_precondition",
      `Shard ${shard.id} is kept until its lease ends: this node has put stake on it, and was given no release of ${
        missing.join(", ")
      }`,
      { data: { id: shard.id, reason: CUSTODY_NOT_RELEASED } },
    );
  }

  /** Looks for challenges and answers them; resolves when it has. */
  look(): Promise<void> {
    return this.#looking ??= this.#look().catch((error: unknown) => {
      this.#options.log.warn("Challenges of shards were not looked for", { error: toNodeError(error).message });
    }).finally(() => this.#looking = undefined);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #begin(): Promise<void> {
    const { calls } = this.#options;
    await this.#keep(Math.max(0, await calls.head() - 1));
  }

  async #keep(block: number): Promise<void> {
    await this.#options.store.write([{ kind: "audit", key: CHECKPOINT, text: String(block) }], { durable: true });
    this.#readTo = block;
  }

  async #look(): Promise<void> {
    const { calls, chain, key, confirmations, book } = this.#options;
    await book.prune();
    if (this.#readTo === undefined || this.#prove === undefined || !chain.healthy()) return;
    const last = await calls.head() - confirmations;
    let readTo = this.#readTo;
    while (readTo < last) {
      const to = Math.min(last, readTo + MAX_SPAN);
      for (const { id, block } of await calls.challenges(key.nodeId, readTo + 1, to)) this.#open.set(id, block);
      readTo = to;
    }
    for (const id of [...this.#open.keys()]) {
      try {
        if (await this.#settle(id)) this.#open.delete(id);
      } catch (error) {
        this.#options.log.error("A challenge of a shard was not answered yet; it is tried again", {
          custody: id,
          error: toNodeError(error).message,
        });
      }
    }
    const safe = Math.min(readTo, ...[...this.#open.values()].map((block) => block - 1));
    if (safe > this.#readTo) await this.#keep(safe);
  }

  /** Answers a challenge. Returns whether there is nothing left to do. */
  async #settle(id: Hex32): Promise<boolean> {
    const { calls, book, log } = this.#options;
    const { status, leaf, deadline } = await calls.challengeOf(id);
    if (status !== "challenged") return true;
    const statement = book.get(id);
    if (statement === undefined) {
      log.error("A statement was challenged that this node does not know: does another node use its key?", {
        custody: id,
      });
      return true;
    }
    if (await calls.now() > deadline) {
      log.error("A challenge of a shard was not answered in time", { custody: id, shard: statement.shard.id });
      return true;
    }
    await this.#answer(statement, leaf);
    log.info("Answered a challenge", { custody: id, shard: statement.shard.id, leaf });
    return true;
  }

  async #answer({ custody, release, shard }: Statement, leaf: number): Promise<void> {
    const { calls } = this.#options;
    if (release !== undefined) return void await calls.release(custody, release);
    const { bytes, proof } = await this.#prove!(shard, leaf);
    await calls.answer(custody, bytes, proof);
  }
}

function nameOf({ owner, id }: ShardKey): string {
  return `${owner.toLowerCase()}/${id}`;
}
