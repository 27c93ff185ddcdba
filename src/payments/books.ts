import type { PaymentChange, PaymentKind, PaymentStore } from "../core/mod.ts";

/**
 * Writes entries of the books that change often: each entry that was touched is written once a tick, in its newest form. Whoever
 * waits for {@link saved} waits for all that was touched before.
 */
export class Books {
  readonly #store: PaymentStore;
  readonly #touched = new Map<string, { kind: PaymentKind; key: string; text: () => string | undefined }>();
  #saving: Promise<void> | undefined;

  constructor(store: PaymentStore) {
    this.#store = store;
  }

  /** Has an entry written at the end of the tick. */
  touch(kind: PaymentKind, key: string, text: () => string | undefined): Promise<void> {
    this.#touched.set(`${kind}!${key}`, { kind, key, text });
    this.#saving ??= Promise.resolve().then(() => this.#save(false));
    return this.#saving;
  }

  /** Writes what was touched, and these changes, so that they survive a power cut. */
  async commit(changes: readonly PaymentChange[]): Promise<void> {
    await this.#store.write([...this.#take(), ...changes], { durable: true });
  }

  async #save(durable: boolean): Promise<void> {
    this.#saving = undefined;
    const changes = this.#take();
    if (changes.length > 0) await this.#store.write(changes, { durable });
  }

  #take(): PaymentChange[] {
    const changes = [...this.#touched.values()].map(({ kind, key, text }) => ({ kind, key, text: text() }));
    this.#touched.clear();
    return changes;
  }
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
