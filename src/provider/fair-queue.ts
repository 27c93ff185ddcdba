import type { RequesterId } from "../core/mod.ts";
import { type Job, TaskQueue } from "./task-queue.ts";

/** The waiting jobs of one requester, and how many turns it has had. */
interface Line {
  readonly requester: RequesterId;
  readonly jobs: TaskQueue;
  turns: number;
}

/** Requesters without waiting jobs whose turns are remembered. */
const MOST_RESTED = 10_000;

/**
 * Waiting jobs of several requesters. Among jobs of the highest priority the requesters take turns, however many jobs each has; a
 * requester's own jobs leave in the order of {@link TaskQueue}. (Round robin as start-time fair queueing has it: who comes anew
 * joins the round that is going on, with no turns saved up.)
 */
export class FairQueue {
  readonly #lines = new Map<RequesterId, Line>();
  /** The turns of requesters that had one in this round already and now have nothing that waits. */
  readonly #rested = new Map<RequesterId, number>();
  #size = 0;
  #bytes = 0;
  /** The turns that those who take turns now have had; it never falls. */
  #round = 0;

  get size(): number {
    return this.#size;
  }

  /** The bytes that all waiting jobs hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many requesters are remembered that have nothing that waits: a bounded number, however many names come. */
  get rested(): number {
    return this.#rested.size;
  }

  /** Whether a requester has jobs that wait. */
  has(requester: RequesterId): boolean {
    return this.#lines.has(requester);
  }

  push(job: Job): void {
    let line = this.#lines.get(job.requester);
    if (line === undefined) {
      const turns = Math.max(this.#round, this.#rested.get(job.requester) ?? 0);
      this.#rested.delete(job.requester);
      line = { requester: job.requester, jobs: new TaskQueue(), turns };
      this.#lines.set(job.requester, line);
    }
    line.jobs.push(job);
    this.#size++;
    this.#bytes += job.sizeBytes;
  }

  /** Takes the job whose turn it is, of those requesters that may have one. */
  pop(mayRun: (requester: RequesterId) => boolean = () => true): Job | undefined {
    let best: Line | undefined;
    for (const line of this.#lines.values()) {
      if (mayRun(line.requester) && (best === undefined || isBefore(line, best))) best = line;
    }
    const job = best?.jobs.first;
    if (best === undefined || job === undefined) return undefined;
    if (best.turns > this.#round) {
      this.#round = best.turns;
      for (const [requester, turns] of this.#rested) if (turns <= this.#round) this.#rested.delete(requester);
    }
    best.turns++;
    this.remove(job);
    return job;
  }

  /** Drops a job; false when it is not waiting. */
  remove(job: Job): boolean {
    const line = this.#lines.get(job.requester);
    if (line === undefined || !line.jobs.remove(job)) return false;
    this.#size--;
    this.#bytes -= job.sizeBytes;
    if (line.jobs.size === 0) {
      this.#lines.delete(job.requester);
      // Who is soon back has its next turn when the others have had theirs.
      if (line.turns <= this.#round) return true;
      if (this.#rested.size >= MOST_RESTED) this.#rested.clear();
      this.#rested.set(job.requester, line.turns);
    }
    return true;
  }

  /** Drops the jobs that began to wait at or before a time, and returns them. */
  takeOlder(timeMs: number): Job[] {
    const old: Job[] = [];
    for (const { jobs } of [...this.#lines.values()]) {
      for (const job of jobs.older(timeMs)) {
        this.remove(job);
        old.push(job);
      }
    }
    return old;
  }
}

function isBefore(a: Line, b: Line): boolean {
  const [jobA, jobB] = [a.jobs.first!, b.jobs.first!];
  return (jobB.priority - jobA.priority || a.turns - b.turns || jobA.seq - jobB.seq) < 0;
}
