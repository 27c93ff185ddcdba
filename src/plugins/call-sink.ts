import type { LogLevel } from "../core/mod.ts";
import { AnswerSlot } from "./answer-slot.ts";
import type { HostAnswer, HostRequest } from "./host-request.ts";
import { HostRefusal } from "./kernel.ts";
import type { CallSink, RefusalCode } from "./kernel.ts";
import type { SaidEvent } from "./worker-protocol.ts";

/** What plugins may say in one call. */
export const LOG_LINES = 1000;
export const LOG_CHARACTERS = 256 << 10; // 256 Ki
export const PROGRESS_REPORTS = 1000;

export interface SinkOptions {
  readonly outputBytes: number;
  readonly wantsEvents: boolean;
  readonly streamsOutput: boolean;
  /** Asked at each host call; when true the call is ended. */
  readonly isCanceled: () => boolean;
  /** Sends a request to the node, which answers in the slot. Absent where nothing may be asked. */
  readonly onAsk?: (request: HostRequest, slot: AnswerSlot) => void;
  readonly onEvent: (event: SaidEvent) => void;
  /** Receives a view that is valid only during the call. May wait for the reader, and calls `check` meanwhile, which may throw. */
  readonly onChunk: (bytes: Uint8Array, check: () => void) => void;
}

/**
 * What the plugin's running call says: logs and progress go out as events, within bounds; output is gathered, or goes out as
 * events too when it is streamed. One for each worker, begun anew for each call.
 */
export class WorkerSink implements CallSink {
  #options: SinkOptions | undefined;
  #pieces: Uint8Array[] = [];
  /** How much output the present call has produced. */
  outputBytes = 0;
  #logLines = 0;
  #logCharacters = 0;
  #progressReports = 0;
  /** Whether the present call sent anything; then its outcome must not overtake it. */
  posted = false;
  /** Where the next request is answered; a new one when the last may still be written to. */
  #answers: AnswerSlot | undefined;
  /** Why the host ended the present call, if it did. It stays, so a plugin that catches the exception gains nothing. */
  refusal: HostRefusal | undefined;

  begin(options: SinkOptions): void {
    this.#options = options;
    this.outputBytes = 0;
    this.#logLines = 0;
    this.#logCharacters = 0;
    this.#progressReports = 0;
    this.posted = false;
    this.refusal = undefined;
    if (this.#pieces.length > 0) this.#pieces = [];
  }

  end(): void {
    this.#options = undefined;
  }

  log(level: LogLevel, message: string): void {
    const options = this.#check();
    if (!options?.wantsEvents || this.#logLines > LOG_LINES) return;
    this.#logLines++;
    this.#logCharacters += message.length;
    const full = this.#logLines > LOG_LINES || this.#logCharacters > LOG_CHARACTERS;
    if (full) this.#logLines = LOG_LINES + 1;
    const line = full
      ? {
        level: "warn" as const,
        message: `The log is cut here: a call may write ${LOG_LINES} lines and ${LOG_CHARACTERS} characters`,
      }
      : { level, message };
    this.posted = true;
    options.onEvent({ type: "log", ...line, at: Date.now() });
  }

  progress(fraction: number, message: string): void {
    const options = this.#check();
    if (!options?.wantsEvents || ++this.#progressReports > PROGRESS_REPORTS) return;
    const within = fraction >= 0 ? Math.min(fraction, 1) : 0; // NaN too
    this.posted = true;
    options.onEvent({ type: "progress", fraction: within, message, at: Date.now() });
  }

  output(bytes: Uint8Array): void {
    const options = this.#check();
    if (options === undefined || bytes.length === 0) return;
    this.#count(options, bytes.length);
    if (options.streamsOutput) this.#stream(options, bytes);
    else this.#pieces.push(bytes.slice());
  }

  /** The whole output of the call, given what it set at its end; empty when it is streamed. Throws HostRefusal when it is too large. */
  finish(last: Uint8Array): Uint8Array {
    const options = this.#options!;
    this.#count(options, last.length);
    if (options.streamsOutput) {
      if (last.length > 0) this.#stream(options, last);
      return new Uint8Array(0);
    }
    if (this.#pieces.length === 0) return last;
    const whole = new Uint8Array(this.outputBytes);
    let offset = 0;
    for (const piece of [...this.#pieces, last]) {
      whole.set(piece, offset);
      offset += piece.length;
    }
    return whole;
  }

  isCanceled(): boolean {
    return this.#options?.isCanceled() ?? false;
  }

  ask(request: HostRequest): HostAnswer {
    const options = this.#check();
    if (options?.onAsk === undefined) this.refuse("permission_denied", "A plugin has nothing to ask outside a call");
    // What it said before must not come after what the answer makes it say.
    this.posted = true;
    const slot = this.#answers ?? new AnswerSlot();
    this.#answers = undefined;
    slot.reset();
    options.onAsk(request, slot);
    const answer = slot.wait(() => void this.#check());
    // Shared memory is not given back soon, so a plugin that asks often must not leave much of it behind.
    if (slot.isSmall) this.#answers = slot;
    if ("code" in answer) this.refuse(answer.code, answer.message);
    return answer;
  }

  refuse(code: RefusalCode, message: string): never {
    this.refusal ??= new HostRefusal(code, message);
    throw this.refusal;
  }

  #check(): SinkOptions | undefined {
    if (this.#options?.isCanceled()) this.refuse("canceled", "The call was canceled");
    return this.#options;
  }

  #count(options: SinkOptions, length: number): void {
    this.outputBytes += length;
    if (this.outputBytes <= options.outputBytes) return;
    this.refuse(
      "output_too_large",
      `The plugin produced ${this.outputBytes} bytes of output or more; the task allows ${options.outputBytes} (limits.outputBytes)`,
    );
  }

  #stream(options: SinkOptions, bytes: Uint8Array): void {
    this.posted = true;
    options.onChunk(bytes, () => void this.#check());
  }
}
