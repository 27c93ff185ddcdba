import type { Readable } from "node:stream";
import type { Log } from "../core/mod.ts";

/**
 * What a runtime prints below the error that it ends with, in colours or not: the stack and the error's properties, which are indented, and Node's
 * version.
 */
// deno-lint-ignore no-control-regex
const BELOW_ERROR = /^(?:\x1b\[[\d;]*m)*(?:\s|\}|Node\.js v\d)/;

/** A longer line is cut here. */
export const LINE_CHARACTERS = 4096;
/** How many lines a plugin may write at once, and how many more each second. */
export const BURST_LINES = 500;
export const LINES_PER_SECOND = 50;

export interface ProcessLogOptions {
  readonly log: Log;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}

/**
 * Puts what a process prints into the node's log, line by line. Long lines are cut, and what comes faster than a log should grow is
 * dropped and counted, so that a plugin cannot fill the disk or the memory.
 */
export class ProcessLog {
  /** The last line that says something, so not the stack below an error: often the reason of an exit. */
  lastLine = "";
  readonly #options: ProcessLogOptions;
  #allowance = BURST_LINES;
  #filledAt: number;
  #dropped = 0;

  constructor(options: ProcessLogOptions) {
    this.#options = options;
    this.#filledAt = options.now();
  }

  /** Reads a stream to its end. `name` is what its lines are marked with. */
  read(stream: Readable, name: "stdout" | "stderr"): void {
    const decoder = new TextDecoder();
    let line = "";
    let cut = false;
    const end = () => {
      if (cut) line += " (cut)";
      this.#write(line, name);
      line = "";
      cut = false;
    };
    stream.on("data", (chunk: Uint8Array) => {
      const pieces = decoder.decode(chunk, { stream: true }).split("\n");
      for (const [index, piece] of pieces.entries()) {
        if (index > 0) end();
        const room = LINE_CHARACTERS - line.length;
        if (piece.length > room) cut = true;
        line += piece.slice(0, room);
      }
    });
    stream.on("end", () => line === "" ? undefined : end());
    stream.on("error", () => {}); // the process's end is told elsewhere
  }

  /** Says how many lines were dropped, if any were. */
  close(): void {
    if (this.#dropped === 0) return;
    this.#options.log.warn(`${this.#dropped} lines of the plugin were dropped: it prints too much`);
    this.#dropped = 0;
  }

  #write(text: string, stream: "stdout" | "stderr"): void {
    const line = text.trimEnd();
    if (line === "") return;
    if (!BELOW_ERROR.test(line)) this.lastLine = line;
    const now = this.#options.now();
    this.#allowance = Math.min(BURST_LINES, this.#allowance + (now - this.#filledAt) / 1000 * LINES_PER_SECOND);
    this.#filledAt = now;
    if (this.#allowance < 1) {
      this.#dropped++;
      return;
    }
    this.#allowance--;
    this.close();
    this.#options.log.info(line, { stream });
  }
}
