/** A call that takes this long is a long one. */
export const LONG_MS = 10;
/** What a call is taken to need of which nothing is known. */
const UNKNOWN_MS = 0.1;
/** How much of what was expected so far a new measurement replaces. */
const WEIGHT = 1 / 4;
/** A first call that takes so long is slow by itself, and not only since its instance had to be made. */
const SLOW_MS = 200;
/** How often in a minute a requester's calls may turn out to be long before it is trusted less. */
const MOST_SURPRISES = 3;
const DISTRUST_MS = 60_000;
/** After the last short call one worker is kept free of long ones for so long. */
const LANE_MS = 5_000;
/** Requesters, and functions of each, of which times are remembered. */
const MOST_SHARES = 10_000;
const MOST_KINDS = 1_000;
const MOST_FUNCTIONS = 1 << 16;
/** Functions of which is known how long they are whoever calls them. */
const MOST_KNOWN_FUNCTIONS = 10_000;

/** What a call is taken for; of one that is untried nothing is known, or only that a first call was long, which may have been its new instance. */
export type Length = "short" | "untried" | "long";
const LENGTHS: readonly Length[] = ["short", "untried", "long"];

/** What is known of one function, as one requester calls it. */
interface Kind {
  expectedMs: number;
  /** The last two times. */
  last: number;
  beforeLast: number;
  /**
   * Whether it is a long one: from when its last two times were long, since a new instance makes one call slow, until one takes less than
   * half as long. What takes about {@link LONG_MS} would else be long and short in turns, and have more than its share.
   */
  isLong: boolean;
  /** Whether a call of it was short. */
  wasShort: boolean;
  longRunning: number;
  /** When a call of it was long last. */
  longAt: number;
}

/** What one requester has had, and has waiting. */
interface Share {
  /** Milliseconds of workers' time, counted from where the others were when it came; see {@link CallTurns}. */
  spentMs: number;
  /** Calls that wait or run. */
  calls: number;
  /** How often calls that were taken for short turned out to be long, and when the last did. */
  surprises: number;
  surprisedAt: number;
  readonly kinds: Map<number, Kind>;
  /** What waits, in the order of arrival. */
  readonly lines: Readonly<Record<Length, Turn[]>>;
}

/** A call's place among the others. */
export interface Turn {
  readonly share: Share;
  /** Which function of which module. */
  readonly kind: number;
  readonly arrival: number;
  /** What it was taken to need when it began. */
  chargedMs: number;
  /** Whether it counts as a long one, while it runs; untried ones do. */
  runsLong: boolean;
  isSurprise: boolean;
}

export interface CallTurnsOptions {
  /** The most workers that there will be. */
  readonly workers: number;
  readonly now: () => number;
}

/**
 * Whose call is next. Requesters share the workers' time: the next call is one of whoever had the least of it (start-time fair queueing,
 * Goyal, Vin and Cheng 1996, with the time that calls of the same function took before as the expected cost, put right when
 * the call ends). And where there are several workers, one is kept free of long calls while short ones come, since a worker cannot be
 * taken from a call: with it a short call waits for other short ones only. Untried calls are kept out of it, too, unless long ones have
 * held the others for a while.
 */
export class CallTurns<T extends { readonly turn: Turn }> {
  readonly #options: CallTurnsOptions;
  readonly #shares = new Map<number, Share>();
  readonly #waiting = new Set<Share>();
  /**
   * What functions, as kinds, are for whoever has not called them yet: long from when they were for somebody, or a call took as long as
   * no new instance does, until one is quick.
   */
  readonly #functions = new Map<number, "short" | "long">();
  readonly #owners = new Map<Turn, T>();
  #arrivals = 0;
  #longRunning = 0;
  #shortSeenAt = -Infinity;
  /** When a call began last that is not short. */
  #longBeganAt = -Infinity;
  /** Where the requester stood whose call began last; who was away does not save up time. */
  #floorMs = 0;

  constructor(options: CallTurnsOptions) {
    this.#options = options;
  }

  /** How many calls wait. */
  get size(): number {
    return this.#owners.size;
  }

  /** The place of a new call. */
  turnOf(requesterNumber: number, { moduleId, functionIndex }: { moduleId: number; functionIndex: number }): Turn {
    let share = this.#shares.get(requesterNumber);
    if (share === undefined) {
      if (this.#shares.size >= MOST_SHARES) this.#forget();
      share = {
        spentMs: 0,
        calls: 0,
        surprises: 0,
        surprisedAt: -Infinity,
        kinds: new Map(),
        lines: { short: [], untried: [], long: [] },
      };
      this.#shares.set(requesterNumber, share);
    }
    return {
      share,
      kind: moduleId * MOST_FUNCTIONS + functionIndex,
      arrival: ++this.#arrivals,
      chargedMs: 0,
      runsLong: false,
      isSurprise: false,
    };
  }

  /** How long a call is expected to run. */
  expectedMs({ share, kind }: Turn): number {
    return share.kinds.get(kind)?.expectedMs ?? UNKNOWN_MS;
  }

  /** What a call is taken for. */
  lengthOf({ share, kind }: Turn): Length {
    const known = share.kinds.get(kind);
    const isNew = known === undefined || known.last < 0;
    const ofOthers = isNew ? this.#functions.get(kind) : undefined;
    if (known?.isLong || ofOthers === "long") return "long";
    if (share.surprises >= MOST_SURPRISES) {
      // Whoever sends short calls in between, or ever new functions, is not let into the lane with them.
      const now = this.#options.now();
      if (now - share.surprisedAt < DISTRUST_MS && (known === undefined || now - known.longAt < DISTRUST_MS)) {
        return "long";
      }
    }
    if (!known?.wasShort && ofOthers !== "short") return "untried";
    return known !== undefined && known.longRunning > 0 ? "long" : "short";
  }

  /** Lets a call wait. One that was withdrawn from a worker has its old place again. */
  push(call: T): void {
    const { turn } = call;
    const { share } = turn;
    if (!this.#waiting.has(share)) {
      this.#waiting.add(share);
      share.spentMs = Math.max(share.spentMs, this.#floorMs);
    }
    share.calls++;
    this.#owners.set(turn, call);
    insert(share.lines[this.lengthOf(turn)], turn);
  }

  /** The call that is next; undefined when only long ones wait and none may begin. */
  peek(): T | undefined {
    let shortsWait = false;
    for (const share of this.#waiting) {
      this.#sort(share);
      if (share.lines.short.length > 0) shortsWait = true;
    }
    const roomForLong = this.#longRunning < this.#mostLong(shortsWait);
    const turn = this.#fairest(roomForLong ? firstOf : shortOf) ??
      (this.#mayTry() ? this.#fairest((share) => this.#triedBy(share)) : undefined);
    return turn && this.#owners.get(turn);
  }

  /** Takes a call out of those that wait; does nothing when it does not. */
  remove({ turn }: T): void {
    if (!this.#owners.delete(turn)) return;
    const { share } = turn;
    const { short, untried, long } = share.lines;
    for (const line of [short, untried, long]) {
      const at = line.indexOf(turn);
      if (at >= 0) line.splice(at, 1);
    }
    share.calls--;
    if (short.length + untried.length + long.length === 0) this.#waiting.delete(share);
  }

  /** Takes out all calls that wait, or those that are chosen. */
  removeAll(which: (call: T) => boolean = () => true): T[] {
    const taken = [...this.#owners.values()].filter(which);
    for (const call of taken) this.remove(call);
    return taken;
  }

  /** A call is given to a worker. It no longer waits. */
  begin({ turn }: T): void {
    const { share } = turn;
    turn.chargedMs = this.expectedMs(turn);
    share.spentMs = Math.max(share.spentMs, this.#floorMs);
    this.#floorMs = share.spentMs;
    share.spentMs += turn.chargedMs;
    share.calls++;
    const length = this.lengthOf(turn);
    turn.isSurprise = length !== "long";
    if (length === "short") return;
    this.#longBeganAt = this.#options.now();
    this.#runLong(turn);
  }

  /** A call has been running for so long already. */
  runsFor({ turn }: T, elapsedMs: number): void {
    if (elapsedMs < LONG_MS) return;
    if (!turn.runsLong) this.#runLong(turn);
    if (elapsedMs < SLOW_MS) return;
    this.#noteFunction(turn.kind, "long");
    if (turn.isSurprise) this.#surprise(turn);
  }

  /** A call has left its worker after it ran for so long; undefined when it was withdrawn and did not run. */
  end({ turn }: T, ranMs: number | undefined): void {
    const { share } = turn;
    share.calls--;
    share.spentMs += (ranMs ?? 0) - turn.chargedMs;
    if (turn.runsLong) {
      turn.runsLong = false;
      this.#longRunning--;
      this.#kind(turn).longRunning--;
    }
    if (ranMs === undefined) return;
    if (ranMs >= SLOW_MS && turn.isSurprise) this.#surprise(turn);
    this.#learn(turn, ranMs);
  }

  /** How many long calls may run at once. */
  #mostLong(shortsWait: boolean): number {
    const { workers, now } = this.#options;
    const keepsLane = workers > 1 && (shortsWait || now() - this.#shortSeenAt < LANE_MS);
    return keepsLane ? workers - 1 : workers;
  }

  #learn(turn: Turn, ranMs: number): void {
    const known = this.#kind(turn);
    const now = this.#options.now();
    if (ranMs >= LONG_MS) known.longAt = now;
    const isFirst = known.last < 0;
    known.beforeLast = isFirst
      ? (ranMs >= SLOW_MS || this.#functions.get(turn.kind) === "long" ? ranMs : 0)
      : known.last;
    known.last = ranMs;
    if (ranMs < LONG_MS) known.wasShort = true;
    if (Math.min(ranMs, known.beforeLast) >= LONG_MS) {
      known.isLong = true;
      this.#noteFunction(turn.kind, "long");
    } else if (ranMs < LONG_MS / 2) {
      known.isLong = false;
      this.#noteFunction(turn.kind, "short");
    }
    if (ranMs < LONG_MS && !known.isLong) this.#shortSeenAt = now;
    known.expectedMs = isFirst && ranMs < SLOW_MS ? Math.min(ranMs, UNKNOWN_MS) : known.expectedMs +
      (ranMs - known.expectedMs) * (isFirst ? 1 : WEIGHT);
  }

  #noteFunction(kind: number, length: "short" | "long"): void {
    if (this.#functions.get(kind) === length) return;
    if (this.#functions.size >= MOST_KNOWN_FUNCTIONS) this.#functions.clear(); // to be learned again
    this.#functions.set(kind, length);
  }

  #surprise(turn: Turn): void {
    const { share } = turn;
    const now = this.#options.now();
    turn.isSurprise = false;
    share.surprises = now - share.surprisedAt < DISTRUST_MS ? share.surprises + 1 : 1;
    share.surprisedAt = now;
  }

  #runLong(turn: Turn): void {
    turn.runsLong = true;
    this.#longRunning++;
    this.#kind(turn).longRunning++;
  }

  #kind({ share: { kinds }, kind }: Turn): Kind {
    let known = kinds.get(kind);
    if (known === undefined) {
      if (kinds.size >= MOST_KINDS) forgetIdle(kinds);
      known = {
        expectedMs: UNKNOWN_MS,
        last: -1,
        beforeLast: 0,
        isLong: false,
        wasShort: false,
        longRunning: 0,
        longAt: -Infinity,
      };
      kinds.set(kind, known);
    }
    return known;
  }

  /** The call that a share would have next, of the share that has had the least. */
  #fairest(nextOf: (share: Share) => Turn | undefined): Turn | undefined {
    let best: Turn | undefined;
    for (const share of this.#waiting) {
      const next = nextOf(share);
      if (next !== undefined && (best === undefined || share.spentMs < best.share.spentMs)) best = next;
    }
    return best;
  }

  /** Whether an untried call may have the worker that is kept free: no other has become free for a while, and no untried one is in it. */
  #mayTry(): boolean {
    return this.#longRunning < this.#options.workers && this.#options.now() - this.#longBeganAt >= SLOW_MS;
  }

  /** The call with which a share would try a function of which no call runs. */
  #triedBy({ lines: { untried: [turn] }, kinds }: Share): Turn | undefined {
    return turn && (kinds.get(turn.kind)?.longRunning ?? 0) === 0 ? turn : undefined;
  }

  /** Moves the first calls that wait to where they belong by what is known now. */
  #sort({ lines }: Share): void {
    for (const length of LENGTHS) {
      for (let turn = lines[length][0]; turn !== undefined; turn = lines[length][0]) {
        const now = this.lengthOf(turn);
        if (now === length) break;
        lines[length].shift();
        insert(lines[now], turn);
      }
    }
  }

  /** Drops requesters that have nothing here, the oldest first, until half are left. */
  #forget(): void {
    for (const [number, { calls }] of this.#shares) {
      if (this.#shares.size <= MOST_SHARES / 2) return;
      if (calls === 0) this.#shares.delete(number);
    }
  }
}

function shortOf({ lines }: Share): Turn | undefined {
  return lines.short[0];
}

/** Untried calls go before the share's long ones: else a short function would not be known while those wait. */
function firstOf({ lines }: Share): Turn | undefined {
  const [short, long] = [lines.short[0], lines.untried[0] ?? lines.long[0]];
  return short === undefined || (long !== undefined && long.arrival < short.arrival) ? long : short;
}

function forgetIdle(kinds: Map<number, Kind>): void {
  for (const [kind, { longRunning }] of kinds) if (longRunning === 0) kinds.delete(kind);
}

function insert(line: Turn[], turn: Turn): void {
  let at = line.length;
  while (at > 0 && line[at - 1]!.arrival > turn.arrival) at--;
  line.splice(at, 0, turn);
}
