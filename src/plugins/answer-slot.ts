import { toNodeError } from "../core/mod.ts";
import type { ErrorCode } from "../core/mod.ts";
import { ANSWER_BYTES } from "./host-request.ts";
import type { HostAnswer } from "./host-request.ts";

const STATE = { pending: 0, answered: 1, failed: 2 } as const;
const HEADER_BYTES = 32; // state, length of the bytes, length of the headers, flags; then a number
const FLAG = { bytes: 1, number: 2 } as const;
const WAIT_MS = 20;
const SMALL_BYTES = 1 << 20; // 1 MiB

/** Why a request was refused. */
export interface AnswerFailure {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Memory in which the node answers one request of a plugin, whose worker sleeps until then. */
export class AnswerSlot {
  readonly memory: SharedArrayBuffer;
  readonly #ints: Int32Array;

  constructor(
    memory = new SharedArrayBuffer(HEADER_BYTES, { maxByteLength: HEADER_BYTES + ANSWER_BYTES + (1 << 16) }),
  ) {
    this.memory = memory;
    this.#ints = new Int32Array(memory, 0, 4);
  }

  /** Puts an answer in, or why there is none, and wakes the worker. */
  async fill(answer: Promise<HostAnswer>): Promise<void> {
    try {
      const { bytes, number, headers = "" } = await answer;
      this.#write(STATE.answered, [bytes ?? new Uint8Array(0), new TextEncoder().encode(headers)], {
        flags: (bytes === undefined ? 0 : FLAG.bytes) | (number === undefined ? 0 : FLAG.number),
        number: number ?? 0,
      });
    } catch (error) {
      const { code, message } = toNodeError(error);
      const failure = new TextEncoder().encode(JSON.stringify({ code, message }));
      this.#write(STATE.failed, [failure, new Uint8Array(0)], { flags: 0, number: 0 });
    }
  }

  /** Whether it may be used again after an answer was taken out of it: it would hold on to what a large one took. */
  get isSmall(): boolean {
    return this.memory.byteLength <= SMALL_BYTES;
  }

  /** Readies it for another request, once nobody looks at the last answer any more. */
  reset(): void {
    Atomics.store(this.#ints, 0, STATE.pending);
  }

  /**
   * Waits for the answer, whose bytes are a view, valid until the slot is used again. `check` is called now and then and may throw; then the
   * answer may still come, so the slot must not be used again.
   */
  wait(check: () => void): HostAnswer | AnswerFailure {
    while (Atomics.load(this.#ints, 0) === STATE.pending) {
      check();
      Atomics.wait(this.#ints, 0, STATE.pending, WAIT_MS);
    }
    const [state, length, headersLength, flags] = this.#ints as unknown as [number, number, number, number];
    const bytes = new Uint8Array(this.memory, HEADER_BYTES, length);
    const headers = new Uint8Array(this.memory, HEADER_BYTES + length, headersLength).slice();
    if (state === STATE.failed) return JSON.parse(new TextDecoder().decode(bytes.slice())) as AnswerFailure;
    return {
      ...(flags & FLAG.bytes) !== 0 && { bytes },
      ...(flags & FLAG.number) !== 0 && { number: new DataView(this.memory).getFloat64(16, true) },
      headers: new TextDecoder().decode(headers),
    };
  }

  #write(
    state: number,
    [bytes, headers]: readonly [Uint8Array, Uint8Array],
    { flags, number }: { flags: number; number: number },
  ): void {
    const needed = HEADER_BYTES + bytes.length + headers.length;
    if (this.memory.byteLength < needed) this.memory.grow(needed);
    new Uint8Array(this.memory).set(bytes, HEADER_BYTES);
    new Uint8Array(this.memory).set(headers, HEADER_BYTES + bytes.length);
    new DataView(this.memory).setFloat64(16, number, true);
    this.#ints[1] = bytes.length;
    this.#ints[2] = headers.length;
    this.#ints[3] = flags;
    Atomics.store(this.#ints, 0, state);
    Atomics.notify(this.#ints, 0);
  }
}
