/** Calls that a worker may have at once: one that runs and those queued behind it. */
export const SLOTS = 16;
/**
 * Inputs and outputs up to this size lie in the slot, whose memory grows to it and is used again; larger ones are posted, as shared
 * memory of their own. (On Deno 2.8 posting plain bytes is a hundred times slower than posting shared memory.)
 */
export const SLOT_BYTES = 256 << 10; // 256 KiB
const FIRST_SLOT_BYTES = 8 << 10; // 8 KiB

/** How much streamed output of a call may lie between the plugin and its reader. */
const UNREAD_BYTES = 4 << 20; // 4 MiB
const UNREAD_WAIT_MS = 20;

/** Where a slot is in its life. The rest of the slot's word is the number of the call, so that a late look at a reused slot fails. */
export const SLOT_STATE = {
  free: 0,
  /** Filled by the pool; either side may take it. */
  pending: 1,
  /** Taken by the worker: the call runs, and nobody else may run it. */
  running: 2,
  /** The output lies in the slot. */
  done: 3,
  /** The outcome was posted before this state was set. */
  posted: 4,
} as const;
export type SlotState = (typeof SLOT_STATE)[keyof typeof SLOT_STATE];

/** What the pool tells a worker of a call. */
export interface SlotCall {
  readonly moduleId: number;
  /** Index into the module's list of functions. */
  readonly functionIndex: number;
  readonly memoryPages: number;
  readonly outputBytes: number;
  readonly timeoutMs: number;
  /** What the call may spend; below 2^53. */
  readonly instructions: number;
  /** Whose warm instances it may use; see {@link RequesterNumbers}. */
  readonly requesterNumber: number;
  readonly wantsEvents: boolean;
  readonly streamsOutput: boolean;
  /** Length of the input, and whether it lies in the slot rather than in a message. */
  readonly inputLength: number;
  readonly inputInSlot: boolean;
}

const FIELD = {
  moduleId: 0,
  functionIndex: 1,
  memoryPages: 2,
  outputBytes: 3,
  timeoutMs: 4,
  flags: 5,
  inputLength: 6,
  outputLength: 7,
  canceled: 8,
  wallMicros: 9,
  budget: 10, // two words
  spent: 12, // two words
  requesterNumber: 14,
  unread: 15,
} as const;
const FIELDS = 16;
/**
 * The bells have cache lines of their own, and the words of all slots together have one: both sides look through them for every call, and
 * each line that the other side wrote to meanwhile has to come from its core.
 */
const WORDS = 32;
const HEADER_INTS = WORDS + SLOTS;
const FLAG = { events: 1, streams: 2, inSlot: 4 } as const;
const STATE_BITS = 3;
const STATE_MASK = 7;
/** Call numbers wrap here; a slot would have to be looked at this many calls late to be mistaken. */
const CALL_NUMBERS = 1 << 28;

/** Bells, in the header. */
const BELL = { worker: 0, pool: 16 } as const;
const ASLEEP = 0; // only a message wakes that side
const AWAKE = 1; // or a message that wakes it is on its way
const DOZING = 2; // it blocks on the bell

/** What is shared, in the form in which a worker is given it. */
export interface SlotMemory {
  readonly control: SharedArrayBuffer;
  readonly data: readonly SharedArrayBuffer[];
}

function newSlotMemory(): SlotMemory {
  return {
    control: new SharedArrayBuffer((HEADER_INTS + SLOTS * FIELDS) * 4),
    data: Array.from({ length: SLOTS }, () => new SharedArrayBuffer(FIRST_SLOT_BYTES, { maxByteLength: SLOT_BYTES })),
  };
}

/**
 * Memory that the pool shares with one worker. A message between threads costs as much as a dozen small plugin calls, so calls
 * and their outcomes lie here, and a message only rings a bell that wakes the other side when it sleeps. A call is taken by
 * compare-exchange of its slot's word from pending to running, so a call that waits behind a slow one can be withdrawn and given to
 * another worker, and runs exactly once.
 */
export class CallSlots {
  readonly memory: SlotMemory;
  readonly #ints: Int32Array;
  readonly #data: readonly Uint8Array[];

  constructor(memory: SlotMemory = newSlotMemory()) {
    this.memory = memory;
    this.#ints = new Int32Array(memory.control);
    this.#data = memory.data.map((buffer) => new Uint8Array(buffer));
  }

  /** Rings for the worker or the pool. Returns whether the caller must post a message to wake it. */
  ring(side: keyof typeof BELL): boolean {
    const before = Atomics.exchange(this.#ints, BELL[side], AWAKE);
    if (before === DOZING) Atomics.notify(this.#ints, BELL[side]);
    return before === ASLEEP;
  }

  /** Says that a side is awake and looks by itself: it is not rung for. */
  rouse(side: keyof typeof BELL): void {
    Atomics.store(this.#ints, BELL[side], AWAKE);
  }

  /** Says that a side goes to sleep, or will look at every slot now: from here on it must be rung for again. */
  silence(side: keyof typeof BELL): void {
    Atomics.store(this.#ints, BELL[side], ASLEEP);
  }

  /**
   * Blocks the worker for a moment until it is rung for, which is cheaper for both sides than a message. `hasWork` is asked once more
   * before. Returns whether there may be work; if not, the worker counts as asleep.
   */
  doze(maxMs: number, hasWork: () => boolean): boolean {
    const at = BELL.worker;
    Atomics.store(this.#ints, at, DOZING);
    // A call that was offered before that line rang for a worker that was awake.
    if (hasWork()) {
      Atomics.store(this.#ints, at, AWAKE);
      return true;
    }
    Atomics.wait(this.#ints, at, DOZING, maxMs);
    return Atomics.compareExchange(this.#ints, at, DOZING, ASLEEP) !== DOZING;
  }

  /** Fills a free slot and offers it to the worker. Only the pool calls this. */
  offer(slot: number, callNumber: number, call: SlotCall, input: Uint8Array): void {
    const at = HEADER_INTS + slot * FIELDS;
    const ints = this.#ints;
    ints[at + FIELD.moduleId] = call.moduleId;
    ints[at + FIELD.functionIndex] = call.functionIndex;
    ints[at + FIELD.memoryPages] = call.memoryPages;
    ints[at + FIELD.outputBytes] = call.outputBytes;
    ints[at + FIELD.timeoutMs] = call.timeoutMs;
    this.#putLong(at + FIELD.budget, call.instructions);
    ints[at + FIELD.requesterNumber] = call.requesterNumber;
    ints[at + FIELD.flags] = (call.wantsEvents ? FLAG.events : 0) | (call.streamsOutput ? FLAG.streams : 0) |
      (call.inputInSlot ? FLAG.inSlot : 0);
    ints[at + FIELD.inputLength] = call.inputLength;
    ints[at + FIELD.canceled] = 0;
    ints[at + FIELD.unread] = 0;
    if (call.inputInSlot) this.#write(slot, input);
    Atomics.store(ints, WORDS + slot, word(callNumber, SLOT_STATE.pending));
  }

  /** The call in a slot; valid while it is pending or running. */
  call(slot: number): SlotCall {
    const at = HEADER_INTS + slot * FIELDS;
    const ints = this.#ints;
    const flags = ints[at + FIELD.flags]!;
    return {
      moduleId: ints[at + FIELD.moduleId]!,
      functionIndex: ints[at + FIELD.functionIndex]!,
      memoryPages: ints[at + FIELD.memoryPages]!,
      outputBytes: ints[at + FIELD.outputBytes]! >>> 0,
      timeoutMs: ints[at + FIELD.timeoutMs]!,
      instructions: this.#long(at + FIELD.budget),
      requesterNumber: ints[at + FIELD.requesterNumber]!,
      wantsEvents: (flags & FLAG.events) !== 0,
      streamsOutput: (flags & FLAG.streams) !== 0,
      inputLength: ints[at + FIELD.inputLength]!,
      inputInSlot: (flags & FLAG.inSlot) !== 0,
    };
  }

  /** The input in a slot: a view, valid while the call runs. */
  input(slot: number, length: number): Uint8Array {
    return this.#data[slot]!.subarray(0, length);
  }

  /** Moves a slot from one state to another; false when it was not in the first, or holds another call. */
  move(slot: number, callNumber: number, from: SlotState, to: SlotState): boolean {
    const expected = word(callNumber, from);
    return Atomics.compareExchange(this.#ints, WORDS + slot, expected, word(callNumber, to)) === expected;
  }

  /** The oldest pending call whose number is higher than `after`. */
  oldestPending(after: number): { slot: number; callNumber: number } | undefined {
    let slot = -1;
    let lowest = CALL_NUMBERS;
    for (let i = 0; i < SLOTS; i++) {
      const value = Atomics.load(this.#ints, WORDS + i);
      const callNumber = value >>> STATE_BITS;
      if ((value & STATE_MASK) !== SLOT_STATE.pending || callNumber >= lowest || callNumber <= after) continue;
      slot = i;
      lowest = callNumber;
    }
    return slot < 0 ? undefined : { slot, callNumber: lowest };
  }

  /** The state of a slot that is known to hold this call. */
  state(slot: number): SlotState {
    return (Atomics.load(this.#ints, WORDS + slot) & STATE_MASK) as SlotState;
  }

  /** Puts a small output into the slot and ends the call. Only the worker calls this. */
  finish(
    slot: number,
    callNumber: number,
    result: { output: Uint8Array; wallMicros: number; instructions: number },
  ): void {
    const at = HEADER_INTS + slot * FIELDS;
    this.#write(slot, result.output);
    this.#ints[at + FIELD.outputLength] = result.output.length;
    this.#ints[at + FIELD.wallMicros] = Math.min(result.wallMicros, 0x7fff_ffff);
    this.#putLong(at + FIELD.spent, result.instructions);
    Atomics.store(this.#ints, WORDS + slot, word(callNumber, SLOT_STATE.done));
  }

  /** Takes the output out of a slot that is done, and frees it. Only the pool calls this. */
  take(slot: number): { output: Uint8Array; outputBytes: number; wallMicros: number; instructions: number } {
    const at = HEADER_INTS + slot * FIELDS;
    const length = this.#ints[at + FIELD.outputLength]!;
    const output = new Uint8Array(length);
    output.set(this.#data[slot]!.subarray(0, length));
    const wallMicros = this.#ints[at + FIELD.wallMicros]!;
    const instructions = this.#long(at + FIELD.spent);
    Atomics.store(this.#ints, WORDS + slot, SLOT_STATE.free);
    return { output, outputBytes: length, wallMicros, instructions };
  }

  /** Frees a slot whatever it holds. Only the pool calls this, once the worker can no longer take it. */
  free(slot: number): void {
    Atomics.store(this.#ints, WORDS + slot, SLOT_STATE.free);
  }

  /** Asks the running call to stop at its next host call. */
  cancel(slot: number): void {
    Atomics.store(this.#ints, HEADER_INTS + slot * FIELDS + FIELD.canceled, 1);
  }

  isCanceled(slot: number): boolean {
    return Atomics.load(this.#ints, HEADER_INTS + slot * FIELDS + FIELD.canceled) === 1;
  }

  /** Waits until what was posted of a call's output, and this with it, is little enough. `check` is called now and then and may throw. */
  waitUnread(slot: number, sizeBytes: number, check: () => void): void {
    const at = HEADER_INTS + slot * FIELDS + FIELD.unread;
    for (;;) {
      const unread = Atomics.load(this.#ints, at);
      if (unread === 0 || unread + sizeBytes <= UNREAD_BYTES) break;
      check();
      Atomics.wait(this.#ints, at, unread, UNREAD_WAIT_MS);
    }
    Atomics.add(this.#ints, at, sizeBytes);
  }

  /** Says that a posted piece of output was read. Only the pool calls this, while the slot holds that call. */
  markRead(slot: number, sizeBytes: number): void {
    const at = HEADER_INTS + slot * FIELDS + FIELD.unread;
    Atomics.sub(this.#ints, at, sizeBytes);
    Atomics.notify(this.#ints, at);
  }

  #putLong(at: number, value: number): void {
    this.#ints[at] = value % 0x1_0000_0000;
    this.#ints[at + 1] = Math.floor(value / 0x1_0000_0000);
  }

  #long(at: number): number {
    return (this.#ints[at]! >>> 0) + this.#ints[at + 1]! * 0x1_0000_0000;
  }

  #write(slot: number, bytes: Uint8Array): void {
    const buffer = this.memory.data[slot]!;
    // Both sides see it grow. Doubling keeps that rare; it never shrinks.
    if (buffer.byteLength < bytes.length) buffer.grow(Math.min(2 ** Math.ceil(Math.log2(bytes.length)), SLOT_BYTES));
    this.#data[slot]!.set(bytes);
  }
}

/** A copy of bytes in shared memory of their own. */
export function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

/** A private copy of bytes in shared memory. */
export function unshared(buffer: SharedArrayBuffer): Uint8Array {
  const bytes = new Uint8Array(buffer.byteLength);
  bytes.set(new Uint8Array(buffer));
  return bytes;
}

/** The number of the call after this one. */
export function nextCallNumber(callNumber: number): number {
  return (callNumber + 1) % CALL_NUMBERS;
}

function word(callNumber: number, state: SlotState): number {
  return (callNumber << STATE_BITS) | state;
}
