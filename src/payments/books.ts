import type { PaymentChange, PaymentKind, PaymentStore } from "../core/mod.ts";

/** An entry of the books, whose text is made when it is written. */
export interface BookEntry {
  readonly kind: PaymentKind;
  readonly key: string;
  /** Undefined when the entry goes. */
  text(): string | undefined;
}

/** How long an entry that may wait does, in milliseconds. */
const LATE_MS = 50;

/**
 * Writes entries of the books that change often, each in its newest form. One write is under way at a time, and takes all that was touched
 * before it began, so that many changes share one. Entries that the other side's books can tell again after a crash may be written late.
 */
export class Books {
  readonly #store: PaymentStore;
  readonly #touched = new Set<BookEntry>();
  readonly #late = new Set<BookEntry>();
  #next: Promise<void> | undefined;
  #writing: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: PaymentStore) {
    this.#store = store;
  }

  /** Has an entry written next. Resolves when it is with the system, so that it survives the end of the process. */
  touch(entry: BookEntry): Promise<void> {
    this.#touched.add(entry);
    return this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      return this.#save(taken(this.#touched));
    });
  }

  /** Has an entry written within moments, together with all others that were noted till then. */
  note(entry: BookEntry): void {
    this.#late.add(entry);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // A failure is told to whoever waits for the next write.
      this.#save(taken(this.#late)).catch(() => {});
    }, LATE_MS).unref();
  }

  /** Writes everything, and these changes, so that they survive a power cut. */
  async commit(changes: readonly PaymentChange[]): Promise<void> {
    const all = [...taken(this.#touched), ...taken(this.#late), ...changes];
    if (all.length > 0) await this.#store.write(all, { durable: true });
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writing;
    await this.commit([]);
  }

  #save(changes: PaymentChange[]): Promise<void> {
    if (changes.length === 0) return Promise.resolve();
    const writing = this.#store.write(changes, { durable: false });
    this.#writing = writing.catch(() => {});
    return writing;
  }
}

function taken(entries: Set<BookEntry>): PaymentChange[] {
  const changes = Array.from(entries, changeOf);
  entries.clear();
  return changes;
}

/** The entry as it is now. */
export function changeOf(entry: BookEntry): PaymentChange {
  return { kind: entry.kind, key: entry.key, text: entry.text() };
}

/** A value as JSON in which bigints are texts of digits with an `n` behind them, and bytes hex behind `bytes:`. */
export function toText(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, name, json) {
    // A Buffer's toJSON() has been called already: look at what was there before.
    const member = this[name] ?? json;
    if (typeof member === "bigint") return `${member}n`;
    if (member instanceof Uint8Array) return `bytes:${Buffer.from(member).toString("hex")}`;
    return json;
  });
}

/** Reads what {@link toText} wrote. */
export function fromText<T>(text: string): T {
  return JSON.parse(text, (_, member) => {
    if (typeof member !== "string") return member;
    if (/^\d+n$/.test(member)) return BigInt(member.slice(0, -1));
    if (member.startsWith("bytes:")) return new Uint8Array(Buffer.from(member.slice(6), "hex"));
    return member;
  }) as T;
}
