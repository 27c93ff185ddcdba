import {
  positionId,
  type RequestChange,
  type RequestPage,
  type StoredRequest,
  taskPosition,
  type TaskState,
} from "../core/mod.ts";
import { decodeRequest, encodeRequest } from "./codec.ts";
import type { Engine, WriteOp } from "./engine.ts";
import type { GroupCommit } from "./group-commit.ts";
import { Sublevel } from "./sublevel.ts";

/** The most records that one page of a filtered list looks at. */
const MAX_SCANNED = 5000;
const SCAN_STEP = 500;

/** Which requests to list. */
export interface RequestRange {
  /** Empty means all. */
  readonly states: readonly TaskState[];
  readonly limit: number;
  /** A position to go on behind; empty to begin with the newest. */
  readonly after: string;
}

/** The tasks that this node submitted to others, in an {@link Engine}. */
export class RequestTable {
  readonly #commit: GroupCommit;
  readonly #records: Sublevel;
  readonly #inputs: Sublevel;
  readonly #byTime: Sublevel;
  readonly #sending: Sublevel;

  constructor(engine: Engine, commit: GroupCommit) {
    this.#commit = commit;
    this.#records = new Sublevel(engine, "request");
    this.#inputs = new Sublevel(engine, "request-input");
    this.#byTime = new Sublevel(engine, "request-time");
    this.#sending = new Sublevel(engine, "request-sending");
  }

  /** The requests with these ids, in the same places. */
  async getMany(ids: readonly string[]): Promise<(StoredRequest | undefined)[]> {
    if (ids.length === 0) return [];
    const texts = await this.#records.getMany(ids);
    return texts.map((text) => text === undefined ? undefined : decodeRequest(text));
  }

  /** The input of a request that is still `sending`. */
  async input(id: string): Promise<Uint8Array | undefined> {
    return await this.#inputs.getBytes(id);
  }

  /** Requests, newest first. Throws `invalid_argument` when `range.after` is no position. */
  async list(range: RequestRange): Promise<RequestPage> {
    if (range.after !== "") positionId(range.after);
    const requests: StoredRequest[] = [];
    let before: string | undefined = range.after === "" ? undefined : range.after;
    for (let scanned = 0; scanned < MAX_SCANNED; scanned += SCAN_STEP) {
      const keys: string[] = await this.#byTime.keys({
        ...(before !== undefined && { lt: before }),
        limit: SCAN_STEP,
        reverse: true,
      });
      for (const request of await this.getMany(keys.map(positionId))) {
        if (request === undefined) continue;
        if (range.states.length > 0 && !range.states.includes(request.record.state)) continue;
        if (requests.length === range.limit) return { requests, next: taskPosition(requests.at(-1)!.record) };
        requests.push(request);
      }
      if (keys.length < SCAN_STEP) return { requests, next: "" };
      before = keys.at(-1)!;
    }
    return { requests, next: before! };
  }

  /** Requests that are `sending`, in the order of their ids, behind the given one. */
  async sending(afterId: string, limit: number): Promise<StoredRequest[]> {
    const ids = await this.#sending.keys({ gt: afterId, limit });
    return (await this.getMany(ids)).filter((request) => request !== undefined);
  }

  /** Requests made before a time, oldest first. */
  async olderThan(timeMs: number, limit: number): Promise<StoredRequest[]> {
    const lt = taskPosition({ createdAt: timeMs, id: "" });
    const keys = await this.#byTime.keys({ lt, limit });
    return (await this.getMany(keys.map(positionId))).filter((request) => request !== undefined);
  }

  /** Where the newest `count` requests end; empty when there are fewer. */
  async endOfNewest(count: number): Promise<string> {
    let before: string | undefined;
    for (let left = count; left > 0;) {
      const limit = Math.min(left, SCAN_STEP);
      const keys: string[] = await this.#byTime.keys({
        ...(before !== undefined && { lt: before }),
        limit,
        reverse: true,
      });
      if (keys.length < limit) return "";
      before = keys.at(-1)!;
      left -= limit;
    }
    return before ?? "";
  }

  /** Applies a change. `durable` as in {@link GroupCommit}. */
  write(change: RequestChange, options: { readonly durable: boolean }): Promise<void> {
    const { request } = change;
    const { id } = request.record;
    const ops: WriteOp[] = [];
    const indexed = this.indexEntries(request);
    if (change.type === "remove") {
      ops.push(this.#records.del(id), this.#inputs.del(id), this.#sending.del(id));
      for (const entry of indexed) ops.push({ type: "del", key: entry.key });
    } else {
      if (change.type === "add" && change.input.length > 0) ops.push(this.#inputs.put(id, change.input));
      if (request.phase !== "sending") ops.push(this.#inputs.del(id), this.#sending.del(id));
      ops.push(...indexed, this.#records.put(id, encodeRequest(request)));
    }
    return this.#commit.write(ops, options);
  }

  /** The index entries that a request in its present phase has. */
  indexEntries(request: StoredRequest): WriteOp[] {
    const byTime = this.#byTime.put(taskPosition(request.record), "");
    return request.phase === "sending" ? [byTime, this.#sending.put(request.record.id, "")] : [byTime];
  }
}
