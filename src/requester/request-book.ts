import {
  type Clock,
  isEnd,
  type Log,
  type NodeError,
  type RequesterId,
  type StoredRequest,
  type TaskRecord,
  type TaskSpec,
  toNodeError,
} from "../core/mod.ts";
import type { Ledger, RequestStore, Reservation, TaskOrder } from "./ports.ts";
import type { ReceiptCheck } from "./receipt-check.ts";
import { misbehaved } from "./request-failures.ts";
import { recordOfSpec } from "./run-record.ts";

export interface RequestBookOptions {
  /** This node, as the requester of all its tasks. */
  readonly self: RequesterId;
  readonly store: RequestStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly receipts: ReceiptCheck;
}

/** A task that somebody waited for. */
export interface KeptRun {
  readonly spec: TaskSpec;
  readonly digest: string;
}

/** What this node knows of the tasks it submitted to others, and the money set aside for them. */
export class RequestBook {
  readonly #options: RequestBookOptions;
  /** Money for tasks whose end is not known yet, by id. */
  readonly #reservations = new Map<string, Reservation | Promise<Reservation>>();

  constructor(options: RequestBookOptions) {
    this.#options = options;
  }

  async get(id: string): Promise<StoredRequest | undefined> {
    return (await this.#options.store.getMany([id]))[0];
  }

  /** Records a submission before it is sent, so that it cannot be forgotten from then on. */
  async open(spec: TaskSpec, details: { target: string; digest: string; inputSha256: string }): Promise<StoredRequest> {
    const { self, store, clock } = this.#options;
    const { digest, ...sent } = details;
    const asked = recordOfSpec(spec, { self, ...sent });
    const record: StoredRequest["record"] = { ...asked, state: "queued", createdAt: clock.now(), attempts: 0 };
    const request: StoredRequest = { record, digest, askedLimits: spec.limits, phase: "sending" };
    await store.write({ type: "add", request, input: spec.input }, { durable: true });
    return request;
  }

  /** The provider has said how the task stands. Returns the record as this node shows it. */
  async note(request: StoredRequest, said: TaskRecord): Promise<TaskRecord> {
    const { self, store, receipts } = this.#options;
    const { id, target, createdAt, inputSha256 } = request.record;
    if (said.id !== id) {
      throw misbehaved(target, `it answered with task ${JSON.stringify(said.id.slice(0, 200))} for ${id}`);
    }
    const held = await receipts.checked(said, { target, id, input: inputSha256 });
    // The time is this node's own: it is the task's place in the list. So is the input, which receipts are held against.
    const record = { ...held, requester: self, target, createdAt, inputSha256 };
    const news = request.phase !== "sent" || request.record.state !== record.state;
    if (news) await store.write({ type: "update", request: { ...request, record, phase: "sent" } }, { durable: false });
    if (isEnd(record.state)) await this.#close(record);
    return record;
  }

  /** As {@link note}, for a task that may not be one of the book's. */
  async noteIfKnown(target: string, said: TaskRecord): Promise<TaskRecord> {
    const request = await this.get(said.id);
    if (request?.record.target !== target) {
      return { ...await this.#options.receipts.checked(said, { target, id: said.id }), target };
    }
    return await this.note(request, said);
  }

  /**
   * Keeps a task that somebody waited for. What is known under its id stays: a submission knows more, and an id of another place is not
   * this task. A failure to keep it is logged, for the caller has its result.
   */
  async keep(record: StoredRequest["record"], { digest, spec }: KeptRun): Promise<void> {
    const { store, log } = this.#options;
    try {
      const known = await this.get(record.id);
      const isRetried = known?.phase === "doubtful" && known.digest === digest && known.record.target === record.target;
      if (known !== undefined && !isRetried) return;
      const createdAt = known?.record.createdAt ?? record.createdAt;
      const request: StoredRequest = {
        record: { ...record, createdAt },
        digest,
        askedLimits: spec.limits,
        // Nobody heard how it ended: its provider may know.
        phase: isEnd(record.state) ? "sent" : "doubtful",
      };
      await store.write({ type: "update", request }, { durable: false });
    } catch (error) {
      log.warn("A task that was run elsewhere is not in the history", {
        id: record.id,
        target: record.target,
        error: toNodeError(error).message,
      });
    }
  }

  /** The submission failed, and its caller is told; the provider may have the task all the same. */
  async doubt(request: StoredRequest): Promise<void> {
    await this.#options.store.write({ type: "update", request: { ...request, phase: "doubtful" } }, { durable: false });
  }

  /** The provider refused the task after its caller had gone; the refusal is kept for whoever asks. */
  async refuse(request: StoredRequest, error: NodeError): Promise<void> {
    const record = {
      ...request.record,
      state: "failed" as const,
      reason: error.code,
      message: error.message,
      finishedAt: this.#options.clock.now(),
    };
    await this.#options.store.write({ type: "update", request: { ...request, record, phase: "sent" } }, {
      durable: false,
    });
    await this.release(record.id);
  }

  async remove(request: StoredRequest): Promise<void> {
    await this.#options.store.write({ type: "remove", request }, { durable: false });
    await this.release(request.record.id);
  }

  /** Sets aside what a submitted task may cost, until its end is known. Throws when the ledger refuses. */
  async reserve({ id, ...order }: TaskOrder & { readonly id: string }): Promise<Reservation> {
    if (!this.#reservations.has(id)) this.#reservations.set(id, this.#options.ledger.reserve(order));
    const reserving = this.#reservations.get(id)!;
    if (!(reserving instanceof Promise)) return reserving;
    try {
      const reservation = await reserving;
      if (this.#reservations.get(id) === reserving) this.#reservations.set(id, reservation);
      return reservation;
    } catch (error) {
      if (this.#reservations.get(id) === reserving) this.#reservations.delete(id);
      throw error;
    }
  }

  /** Frees what is set aside for a task that its provider refused with an error, if with any. */
  async release(id: string, error?: unknown): Promise<void> {
    const reservation = this.#reservations.get(id);
    this.#reservations.delete(id);
    (await reservation)?.release(error);
  }

  async #close(record: TaskRecord): Promise<void> {
    const reservation = this.#reservations.get(record.id);
    if (reservation === undefined) return;
    if (record.state !== "succeeded" || record.usage === undefined) return await this.release(record.id);
    this.#reservations.delete(record.id);
    try {
      await (await reservation).commit(record.usage);
    } catch (error) {
      this.#options.log.error("A task could not be paid", { id: record.id, error: toNodeError(error).message });
    }
  }
}
