import type { RequesterId } from "../core/mod.ts";

/** A task that waits for its turn. */
export interface Job {
  readonly requester: RequesterId;
  /** Higher first. */
  readonly priority: number;
  /** Among equal priorities, lower first. */
  readonly seq: number;
  /** What it holds while it waits, in bytes. */
  readonly sizeBytes: number;
  /** When it began to wait, in milliseconds since the epoch. */
  readonly queuedAt: number;
  /** Its place in the queue, kept by the queue; -1 when it is not in one. */
  place: number;
  /** Its turn has come: it has a slot, and must give it back. */
  start(): void;
  /** It has waited too long and has left the queue. */
  expire(): void;
}

/** The waiting jobs of one requester, in a binary heap that can also drop one from the middle. */
export class TaskQueue {
  readonly #heap: Job[] = [];
  #bytes = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** The bytes that all waiting jobs hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The job whose turn it is. */
  get first(): Job | undefined {
    return this.#heap[0];
  }

  push(job: Job): void {
    this.#heap.push(job);
    this.#bytes += job.sizeBytes;
    this.#rise(job, this.#heap.length - 1);
  }

  /** Takes the job whose turn it is. */
  pop(): Job | undefined {
    const first = this.#heap[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Drops a job; false when it is not waiting. */
  remove(job: Job): boolean {
    const place = job.place;
    if (place < 0 || this.#heap[place] !== job) return false;
    const last = this.#heap.pop()!;
    this.#bytes -= job.sizeBytes;
    if (last !== job) {
      this.#rise(last, place);
      this.#sink(last, last.place);
    }
    job.place = -1;
    return true;
  }

  /** The jobs that began to wait at or before a time, in the order of their turns. */
  older(timeMs: number): Job[] {
    return this.#heap.filter((job) => job.queuedAt <= timeMs).sort(byTurn);
  }

  #rise(job: Job, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = this.#heap[(place - 1) >> 1]!;
      if (byTurn(parent, job) <= 0) break;
      this.#put(parent, place);
      place = (place - 1) >> 1;
    }
    this.#put(job, place);
  }

  #sink(job: Job, from: number): void {
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#heap.length) break;
      if (child + 1 < this.#heap.length && byTurn(this.#heap[child + 1]!, this.#heap[child]!) < 0) child++;
      if (byTurn(job, this.#heap[child]!) <= 0) break;
      this.#put(this.#heap[child]!, place);
      place = child;
    }
    this.#put(job, place);
  }

  #put(job: Job, place: number): void {
    this.#heap[place] = job;
    job.place = place;
  }
}

function byTurn(a: Job, b: Job): number {
  return b.priority - a.priority || a.seq - b.seq;
}
