import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { type NodeProcess, startNode } from "../e2e/harness.ts";
import { sleep } from "./random.ts";

/** How often a start is tried again when another process has the old port for a moment. */
const STARTS = 20;

/** One node of a chaos run: a data directory, and a process on it that comes and goes. */
export class Place {
  readonly name: string;
  readonly dataDir: string;
  readonly #config: () => Readonly<Record<string, unknown>>;
  #address: string | undefined;
  #node: NodeProcess | undefined;
  #kill: (() => Promise<unknown>) | undefined;
  #startMs = 1000;

  constructor({ folder, name, config }: {
    readonly folder: string;
    readonly name: string;
    /** Asked at each start. */
    readonly config: () => Readonly<Record<string, unknown>>;
  }) {
    this.name = name;
    this.dataDir = join(folder, name);
    this.#config = config;
  }

  /** The node that runs; nothing between its end and its next start. */
  get node(): NodeProcess | undefined {
    return this.#node;
  }

  /** Where others find it, also while it is down. */
  get target(): string {
    return this.#address!;
  }

  /**
   * Starts it, at its old address when it has one. With `killAt` it is killed in the middle: 1 is when its last start was done. Returns whether it
   * served before that.
   */
  async start(killAt?: number): Promise<boolean> {
    for (let tries = 1;; tries++) {
      const cleanups: (() => unknown)[] = [];
      const startedAt = performance.now();
      const stop = async () => {
        for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
      };
      this.#kill = stop;
      const starting = startNode({ after: (cleanup) => void cleanups.push(cleanup) }, {
        dataDir: this.dataDir,
        config: this.#config(),
        args: this.#address === undefined ? [] : ["--rpc-listen", this.#address],
      });
      if (killAt !== undefined) {
        starting.catch(() => {});
        await sleep(killAt * this.#startMs);
        await stop();
        return await starting.then(() => true, () => false);
      }
      try {
        this.#node = await starting;
        this.#address ??= this.#node.rpc;
        this.#startMs = performance.now() - startedAt;
        return true;
      } catch (error) {
        await stop();
        if (tries === STARTS || !String(error).includes("EADDRINUSE")) throw error;
        await sleep(200);
      }
    }
  }

  /** kill -9, as a power cut of the process: nothing is told and nothing is flushed. */
  async kill(): Promise<void> {
    this.#keepLog();
    this.#node = undefined;
    await this.#kill?.();
  }

  /** What it logged lies beside its data, for whoever looks for the cause of a violation. */
  #keepLog(): void {
    if (this.#node !== undefined) appendFileSync(`${this.dataDir}.log`, `${this.#node.log.join("\n")}\n`);
  }

  /** Ends as an operator ends it. */
  async stop(): Promise<void> {
    await this.#node?.stop();
    this.#keepLog();
    this.#node = undefined;
    await this.#kill?.();
  }
}
