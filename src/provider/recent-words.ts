import type { PluginEvent } from "../core/mod.ts";

type Word = Exclude<PluginEvent, { type: "chunk" }>;
type LogWord = Extract<Word, { type: "log" }>;

const MAX_LINES = 64;
const MAX_CHARS = 16 << 10;

/** What a plugin said last, for who begins to watch when it has been said: up to 64 lines of 16 Ki characters together, and the newest progress. */
export class RecentWords {
  #lines: LogWord[] = [];
  #chars = 0;
  #progress: Word | undefined;

  add(word: Word): void {
    if (word.type === "progress") {
      this.#progress = word;
      return;
    }
    this.#lines.push(word);
    this.#chars += word.message.length;
    while (this.#lines.length > MAX_LINES || this.#chars > MAX_CHARS) {
      this.#chars -= this.#lines.shift()!.message.length;
    }
  }

  /** The oldest line first, progress last. */
  all(): Word[] {
    return this.#progress === undefined ? [...this.#lines] : [...this.#lines, this.#progress];
  }
}
