import {
  type AuditSite,
  type Clock,
  type CustodyChallenge,
  custodyId,
  custodyOf,
  type CustodyRelease,
  type Hex32,
  NodeError,
  type NodeId,
  type NodeKey,
  releaseDigest,
  type Settlement,
  type ShardCustody,
  type ShardId,
  type ShardLease,
  shardLeaseDigest,
  type ShardRecord,
  toHex,
  type Wei,
} from "../core/mod.ts";
import type { AuditCalls } from "./audit-calls.ts";
import type { Curve } from "./curve.ts";
import type { CustodyBook, Statement } from "./custody-book.ts";
import { isSigner } from "./offer-book.ts";

export interface CustodyHolderOptions {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  readonly site: AuditSite;
  /** The least penalty that a statement must have. */
  readonly least: Wei;
  readonly book: CustodyBook;
  readonly calls: AuditCalls;
  readonly curve: Curve;
  readonly clock: Clock;
}

/** A shard with a lease, for which a statement is wanted. */
export interface CustodyOrder {
  readonly provider: NodeId;
  readonly record: ShardRecord;
  readonly lease: ShardLease;
  readonly fileId: string;
}

/** What came of the challenge of a shard. */
export interface ChallengeEvent {
  readonly fileId: string;
  readonly message: string;
}

/** The requester's side of custody: takes statements that are good and covered by stake, signs releases, and challenges. */
export class CustodyHolder {
  readonly #options: CustodyHolderOptions;
  readonly #listeners = new Set<(event: ChallengeEvent) => void>();

  constructor(options: CustodyHolderOptions) {
    this.#options = options;
  }

  /** Whether there is a statement for a lease already. */
  has({ record, lease }: Pick<CustodyOrder, "record" | "lease">): boolean {
    const { settlement, book } = this.#options;
    const wanted = toHex(shardLeaseDigest(settlement, record, lease));
    return book.over("requester", record.id).some(([, { custody }]) => custody.lease === wanted);
  }

  /**
   * Asks for the statement of a lease and keeps it. Throws `failed_precondition` when the provider's stake does not cover what is wanted for the
   * time of the lease, before it is asked, and `target_misbehaved` for a statement that is not good.
   */
  async take(order: CustodyOrder, ask: () => Promise<ShardCustody>): Promise<void> {
    const { calls, least, settlement: at, site, curve, book } = this.#options;
    const { provider, record, lease, fileId } = order;
    const { bonded, pledgedUntil } = await calls.stakeOf(provider);
    const endsAt = Math.floor(record.expiresAt / 1000);
    if (bonded < least || pledgedUntil < endsAt) {
      throw new NodeError(
        "failed_precondition",
        `${provider} has ${bonded} wei at stake, pledged until ${timeText(pledgedUntil)}, and ${least} wei until ${
          timeText(endsAt)
        } are wanted (files.custodyPenalty)`,
        { data: { provider } },
      );
    }
    const { penalty, signature } = await ask();
    const refuse = (why: string) =>
      new NodeError("target_misbehaved", `The custody statement of shard ${record.id} is refused: ${why}`, {
        data: { provider, shard: record.id },
      });
    if (penalty < least || penalty > bonded) {
      throw refuse(`its penalty is ${penalty} wei, and ${least} to ${bonded} wei were expected`);
    }
    const custody = custodyOf(record, { provider, penalty, at, lease });
    const digest = custodyId(site, custody);
    if (!isSigner(curve, digest, signature, provider)) throw refuse(`it is not signed by ${provider}`);
    const shard = { owner: record.owner, id: record.id };
    await book.put(toHex(digest), { v: 1, role: "requester", custody, signature, shard, fileId });
  }

  /** Releases of a provider from all it has signed for a shard, but not from what it has lost. */
  releases(provider: NodeId, shard: ShardId): CustodyRelease[] {
    const { key, site, clock } = this.#options;
    return this.#over(provider, shard)
      .filter(([, { custody, lost }]) => lost !== true && custody.expiresAt * 1000 + 3_600_000 > clock.now())
      .map(([custody]) => ({ custody, signature: key.signDigest(releaseDigest(site, custody)) }));
  }

  /** A provider failed to prove a shard: what it signed for it is kept for a challenge, and never released. */
  async lost(provider: NodeId, shard: ShardId): Promise<void> {
    for (const [id, statement] of this.#over(provider, shard)) {
      if (statement.lost !== true) await this.#options.book.put(id, { ...statement, lost: true });
    }
  }

  async challenge(id: Hex32) {
    const { calls } = this.#options;
    const { custody, signature } = this.#find(id);
    const { status, deadline } = await calls.challengeOf(id);
    if (status === "done") throw failed(`Statement ${id} is done with: it was released, or its provider was slashed`);
    if (status === "challenged") {
      throw failed(`Statement ${id} is challenged already; the provider may answer until ${timeText(deadline)}`);
    }
    if (await calls.now() >= custody.expiresAt) throw failed(`Statement ${id} ended at ${timeText(custody.expiresAt)}`);
    const opened = await calls.challenge(custody, signature);
    await this.note(id, { state: "open", deadline: opened.deadline });
    return opened;
  }

  /** Notes how a statement's challenge stands, and tells the file's watchers. */
  async note(id: Hex32, seen: Omit<CustodyChallenge, "at">): Promise<void> {
    const { book, clock } = this.#options;
    const statement = this.#find(id);
    await book.put(id, { ...statement, challenge: { ...seen, at: clock.now() } });
    const { fileId, custody: { provider }, shard } = statement;
    if (fileId === undefined) return;
    for (const listener of this.#listeners) listener({ fileId, message: toldOf(seen, { provider, shard: shard.id }) });
  }

  /** Has what comes of challenges told. */
  onChallenge(listener: (event: ChallengeEvent) => void): void {
    this.#listeners.add(listener);
  }

  async slash(id: Hex32) {
    const { calls } = this.#options;
    const { custody } = this.#find(id);
    const { status, deadline } = await calls.challengeOf(id);
    if (status !== "challenged") {
      throw failed(
        status === "done"
          ? `Statement ${id} is done with: it was released, or its provider was slashed`
          : `No challenge of statement ${id} is open: it was answered, or there was none`,
      );
    }
    if (await calls.now() <= deadline) throw failed(`The provider may answer until ${timeText(deadline)}`);
    const receipt = await calls.timeout(custody);
    await this.note(id, { state: "slashed" });
    return receipt;
  }

  #find(id: Hex32): Statement {
    const found = this.#options.book.get(id);
    if (found?.role === "requester") return found;
    throw new NodeError(
      "not_found",
      `No provider has given this node the statement ${id}: "payments custody" lists them`,
    );
  }

  #over(provider: NodeId, shard: ShardId): [Hex32, Statement][] {
    return this.#options.book.over("requester", shard)
      .filter(([, { custody }]) => custody.provider.toLowerCase() === provider.toLowerCase());
  }
}

function toldOf(
  { state, deadline = 0 }: Omit<CustodyChallenge, "at">,
  { provider, shard }: { readonly provider: NodeId; readonly shard: ShardId },
): string {
  const told = {
    open: `may answer the challenge of shard ${shard} on the chain until ${timeText(deadline)}`,
    answered: `answered the challenge of shard ${shard} on the chain, and has the bond`,
    slashed: `did not answer the challenge of shard ${shard} and lost stake`,
    done: `is not bound by its statement over shard ${shard} any more`,
  };
  return `${provider} ${told[state]}`;
}

function failed(message: string): NodeError {
  return new NodeError("failed_precondition", message);
}

function timeText(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
