import type {
  Clock,
  Custody,
  CustodyChallenge,
  CustodyView,
  Hex32,
  PaymentStore,
  ShardId,
  ShardKey,
} from "../core/mod.ts";
import { fromText, toText } from "./books.ts";

/** A custody statement as it is stored under its id; `test/vectors/payments.json` pins the form. */
export interface Statement {
  readonly v: 1;
  readonly role: CustodyView["role"];
  readonly custody: Custody;
  /** The provider's. */
  readonly signature: Uint8Array;
  readonly shard: ShardKey;
  readonly fileId?: string;
  /** Whether the provider failed to prove the shard; known to the requester. */
  readonly lost?: true;
  /** How its challenge stands; known to the requester. */
  readonly challenge?: CustodyChallenge;
  /** The requester's signature under the release; known to the provider. */
  readonly release?: Uint8Array;
}

/** How long a statement is kept after its end: a challenge may come with its last second, and has a day to be answered. */
const KEEP_MS = 3 * 86_400_000;

/** Statements that can still be challenged or are being so, of this node and for it. */
export class CustodyBook {
  readonly #store: PaymentStore;
  readonly #clock: Clock;
  readonly #statements = new Map<Hex32, Statement>();
  /** The ids of those over each shard: a node may hold a great many. */
  readonly #byShard = new Map<ShardId, Set<Hex32>>();
  /** The ids of those whose provider failed to prove the shard. */
  readonly #lost = new Set<Hex32>();

  constructor({ store, clock }: { readonly store: PaymentStore; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  async load(): Promise<void> {
    for (const [id, text] of await this.#store.entries("custody")) {
      this.#hold(id as Hex32, fromText<Statement>(text));
    }
    await this.prune();
  }

  /** Forgets what cannot be challenged any more. */
  async prune(): Promise<void> {
    const over = [...this.#statements].filter(([, { custody }]) =>
      this.#clock.now() > custody.expiresAt * 1000 + KEEP_MS
    );
    if (over.length === 0) return;
    await this.#store.write(over.map(([key]) => ({ kind: "custody", key, text: undefined })), { durable: false });
    for (const [id, { shard }] of over) {
      this.#statements.delete(id);
      this.#lost.delete(id);
      const ids = this.#byShard.get(shard.id);
      ids?.delete(id);
      if (ids?.size === 0) this.#byShard.delete(shard.id);
    }
  }

  get(id: Hex32): Statement | undefined {
    return this.#statements.get(id);
  }

  /** Stores a statement, or what is new of it; durable when it returns. */
  async put(id: Hex32, statement: Statement): Promise<void> {
    await this.#store.write([{ kind: "custody", key: id, text: toText(statement) }], { durable: true });
    this.#hold(id, statement);
  }

  /** The statements over shards with an id, whoever owns them. */
  over(role: Statement["role"], shard: ShardId): [Hex32, Statement][] {
    return [...this.#byShard.get(shard) ?? []]
      .map((id): [Hex32, Statement] => [id, this.#statements.get(id)!])
      .filter(([, statement]) => statement.role === role);
  }

  /** The statements whose provider failed to prove the shard. */
  lost(): [Hex32, Statement][] {
    return [...this.#lost].map((id) => [id, this.#statements.get(id)!]);
  }

  views(): CustodyView[] {
    return [...this.#statements].map(([id, { role, custody, signature, shard, fileId, lost, release, challenge }]) => ({
      id,
      role,
      custody,
      signature,
      shard: shard.id,
      ...(fileId !== undefined && { fileId }),
      lost: lost === true,
      released: release !== undefined,
      ...(challenge !== undefined && { challenge }),
    }));
  }

  #hold(id: Hex32, statement: Statement): void {
    this.#statements.set(id, statement);
    if (statement.role === "requester" && statement.lost === true) this.#lost.add(id);
    const ids = this.#byShard.get(statement.shard.id);
    if (ids === undefined) this.#byShard.set(statement.shard.id, new Set([id]));
    else ids.add(id);
  }
}
