import { isEnd } from "../core/mod.ts";
import { type BookProblem, strangeKeys } from "./books.ts";
import { decodeRequest, decodeTask } from "./codec.ts";
import type { Engine, WriteOp } from "./engine.ts";
import { decodeFileRecord } from "./file-codec.ts";
import { ACCOUNT, INDEXES, orphanBodies, rebuild, type RebuiltTables } from "./rebuild.ts";
import { Sublevel } from "./sublevel.ts";
import { accountsOf } from "./task-table.ts";

/** What a check of the node's database found. */
export interface StoreCheck {
  readonly tasks: number;
  readonly requests: number;
  readonly files: number;
  readonly problems: readonly BookProblem[];
}

export interface CheckStoreOptions {
  readonly engine: Engine;
  readonly tables: RebuiltTables;
  /** The parts of payments and peers, whose entries are texts of their owners. */
  readonly parts: readonly string[];
  /** Whether to make indexes and totals anew when they are wrong, and to drop inputs and outputs that belong to no task. */
  readonly repair: boolean;
}

const STEP = 500;

/** The parts of the database that are no index, no total and no text of others. */
const OWN_PARTS = [
  "system",
  "meta",
  "task",
  "task-input",
  "task-output",
  "request",
  "request-input",
  "file",
  "file-manifest",
  "file-piece",
  "file-score",
];

/**
 * Proves that the books of the node's database are right: every record can be read, every index has just what the records say, the totals are
 * their sums, every input and output belongs to a task that has one, and no key is anybody else's. To be called while nothing is written.
 */
export async function checkStore(options: CheckStoreOptions): Promise<StoreCheck> {
  return await new Check(options).run();
}

class Check {
  readonly #options: CheckStoreOptions;
  readonly #problems: BookProblem[] = [];
  readonly #totals = new Map<string, number>();
  /** How many entries each index must have, and how many inputs and outputs there must be. */
  readonly #expected = new Map<string, number>();
  #missing = 0;

  constructor(options: CheckStoreOptions) {
    this.#options = options;
  }

  async run(): Promise<StoreCheck> {
    const { engine, tables, parts, repair } = this.#options;
    const tasks = await this.#records("task", (text) => {
      const task = decodeTask(text);
      for (const [name, value] of Object.entries(accountsOf(task))) this.#add(name, value);
      const isOver = isEnd(task.record.state);
      if (!isOver && task.inputBytes > 0) this.#expect("task-input");
      if (isOver && (task.storedOutputBytes ?? 0) > 0) this.#expect("task-output");
      return tables.tasks.indexEntries(task);
    });
    const requests = await this.#records("request", (text) => tables.requests.indexEntries(decodeRequest(text)));
    const files = await this.#records("file", (text) => {
      const entries = tables.files.indexEntries(decodeFileRecord(text));
      this.#add("file.count", 1);
      return entries;
    });
    const areReadable = this.#problems.length === 0;
    if (this.#missing > 0) this.#found(`${this.#missing} entries of indexes are missing`);
    // Where as many are missing as there are too many, the former tell it.
    for (const index of INDEXES) {
      const extra = await this.#count(index) - (this.#expected.get(index) ?? 0);
      if (extra > 0) this.#found(`The index ${index} has ${extra} entries that no record has`);
    }
    for (const part of ["task-input", "task-output"] as const) await this.#bodies(part);
    await this.#accounts();
    // Making indexes anew drops records that cannot be read, which somebody may still want to have looked at.
    if (repair && areReadable && this.#problems.some(({ repairable }) => repairable)) await rebuild(engine, tables);
    const problems = this.#problems.map(({ message, repairable }) => ({
      message,
      repairable: repairable && areReadable,
    }));
    problems.push(...await strangeKeys(engine, [...OWN_PARTS, ...INDEXES, ACCOUNT, ...parts]));
    return { tasks, requests, files, problems };
  }

  /** Reads every record of a part and looks for what the indexes must have of it. Returns how many there are. */
  async #records(part: string, index: (text: string) => WriteOp[]): Promise<number> {
    const { engine } = this.#options;
    const records = new Sublevel(engine, part);
    let count = 0;
    let gt: string | undefined;
    for (;;) {
      const page = await records.entries({ ...(gt !== undefined && { gt }), limit: STEP });
      if (page.length === 0) return count;
      const entries: WriteOp[] = [];
      for (const [key, text] of page) {
        try {
          entries.push(...index(text));
        } catch (error) {
          this.#found(`The record ${key} of a ${part} cannot be read: ${(error as Error).message}`, false);
        }
      }
      const stored = await engine.getMany(entries.map(({ key }) => key));
      for (const [place, entry] of entries.entries()) {
        this.#expect(partOf(entry.key));
        if (entry.type !== "put" || stored[place] !== entry.value) this.#missing++;
      }
      count += page.length;
      gt = page.at(-1)![0];
    }
  }

  async #count(part: string): Promise<number> {
    const level = new Sublevel(this.#options.engine, part);
    let count = 0;
    let gt: string | undefined;
    for (;;) {
      const keys = await level.keys({ ...(gt !== undefined && { gt }), limit: STEP });
      count += keys.length;
      if (keys.length < STEP) return count;
      gt = keys.at(-1)!;
    }
  }

  async #bodies(part: "task-input" | "task-output"): Promise<void> {
    let orphans = 0;
    for await (const keys of orphanBodies(this.#options.engine, part)) orphans += keys.length;
    if (orphans > 0) this.#found(`${orphans} of ${part} belong to no task that has one`);
    const gone = (this.#expected.get(part) ?? 0) - (await this.#count(part) - orphans);
    if (gone > 0) this.#found(`${gone} of ${part} are gone`, false);
  }

  async #accounts(): Promise<void> {
    const level = new Sublevel(this.#options.engine, ACCOUNT);
    const stored = new Map<string, number>();
    let gt: string | undefined;
    for (;;) {
      const page = await level.entries({ ...(gt !== undefined && { gt }), limit: STEP });
      for (const [name, text] of page) stored.set(name, Number(text));
      if (page.length < STEP) break;
      gt = page.at(-1)![0];
    }
    for (const name of new Set([...stored.keys(), ...this.#totals.keys()])) {
      const [said, right] = [stored.get(name) ?? 0, this.#totals.get(name) ?? 0];
      if (said !== right) this.#found(`The account ${name} says ${said}, and the records make ${right}`);
    }
  }

  #add(name: string, value: number): void {
    this.#totals.set(name, (this.#totals.get(name) ?? 0) + value);
  }

  #expect(part: string): void {
    this.#expected.set(part, (this.#expected.get(part) ?? 0) + 1);
  }

  #found(message: string, repairable = true): void {
    this.#problems.push({ message, repairable });
  }
}

/** The part that a full key lies in. */
function partOf(key: string): string {
  return key.slice(1, key.indexOf("!", 1));
}
