import { access, constants } from "node:fs/promises";
import type { Clock, Log, NodeError } from "../core/mod.ts";
import type { HealthState } from "../rpc/mod.ts";
import { freeBytes, type Store } from "../storage/mod.ts";

/** With less the node is not ready: what it must note of each paid task and file may not fit any more. */
export const MIN_FREE_BYTES = 32 << 20; // 32 MiB
/** What must be free before it is ready again, so that a value at the edge does not flap. */
export const READY_AGAIN_BYTES = 40 << 20; // 40 MiB
/** A look at the disk that takes longer than this is a reason of its own: the disk, or what it is mounted from, hangs. */
export const STALLED_MS = 10_000;
const EVERY_MS = 2000;
const MIB = 1 << 20;

/** The disk under the data directory. */
export interface DataDisk {
  freeBytes(path: string): Promise<number>;
  /** Throws when nothing may be written, such as on a file system that became read-only. */
  assertWritable(path: string): Promise<void>;
}

const realDisk: DataDisk = { freeBytes, assertWritable: (path) => access(path, constants.W_OK) };

export interface ReadinessOptions {
  /** Told of each change, so that gRPC's health says the same. */
  readonly health: HealthState;
  readonly store: Pick<Store, "failure" | "recover">;
  readonly dataDir: string;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly disk?: DataDisk;
}

/**
 * Whether the node takes requests. It does not while it drains, and while nothing can be written, since a node that cannot note what it
 * did must not be paid for it. It looks every so often, by itself, so that it is ready again also when nobody calls it meanwhile.
 *
 * A chain that is not reached is no reason: every node of an operator loses it at once, and what is paid already is served.
 */
export class Readiness {
  readonly #options: ReadinessOptions;
  readonly #disk: DataDisk;
  #draining = false;
  #reasons: readonly string[] = [];
  #isFull = false;
  #looking: { readonly since: number; readonly done: Promise<void> } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    this.#disk = options.disk ?? realDisk;
  }

  /** Answered from memory. */
  answer(): { readonly ready: boolean; readonly reasons: readonly string[] } {
    const reasons = [
      ...this.#draining ? ["The node is shutting down"] : [],
      ...this.#reasons,
      ...this.#stalled(),
    ];
    return { ready: reasons.length === 0, reasons };
  }

  /** Looks at once, and then every so often. */
  start(): void {
    void this.look();
    this.#timer = setInterval(() => {
      void this.look();
      this.#tell();
    }, EVERY_MS);
    this.#timer.unref();
  }

  /** Looks at the disk and the store. While a look is under way, it is that one. Never throws. */
  look(): Promise<void> {
    this.#looking ??= {
      since: this.#options.clock.now(),
      done: this.#look().finally(() => {
        this.#looking = undefined;
        this.#tell();
      }),
    };
    return this.#looking.done;
  }

  /** From now on the node is not ready. */
  drain(): void {
    this.#draining = true;
    this.stop();
    this.#tell();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const found = await this.#whyNot();
    if (found !== undefined && this.#reasons[0] === undefined) {
      this.#options.log.warn("The node is not ready", { reason: found });
    }
    if (found === undefined && this.#reasons[0] !== undefined) {
      this.#options.log.info("The node is ready again", { was: this.#reasons[0] });
    }
    this.#reasons = found === undefined ? [] : [found];
  }

  async #whyNot(): Promise<string | undefined> {
    const { store, dataDir } = this.#options;
    try {
      const free = await this.#disk.freeBytes(dataDir);
      this.#isFull = free < (this.#isFull ? READY_AGAIN_BYTES : MIN_FREE_BYTES);
      if (this.#isFull) {
        return `The disk of the data directory ${dataDir} is full: ${Math.floor(free / MIB)} MiB are free, ` +
          `less than ${MIN_FREE_BYTES / MIB} MiB; free some space`;
      }
      await this.#disk.assertWritable(dataDir);
    } catch (error) {
      return `The data directory ${dataDir} cannot be written (${codeOf(error)}): check its disk and its owner`;
    }
    if (store.failure() === undefined) return undefined;
    // Nobody may call a node that is not ready, so no write of theirs would find out that the store works again.
    return await store.recover().then(() => undefined, (error: NodeError) => error.message);
  }

  #stalled(): string[] {
    const { clock, dataDir } = this.#options;
    const tookMs = this.#looking === undefined ? 0 : clock.now() - this.#looking.since;
    if (tookMs < STALLED_MS) return [];
    return [`The disk of the data directory ${dataDir} has not answered for ${Math.floor(tookMs / 1000)} s`];
  }

  #tell(): void {
    this.#options.health.set(this.answer().ready);
  }
}

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
