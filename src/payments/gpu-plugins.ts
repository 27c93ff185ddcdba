import { type Clock, isModuleRef, type Offer } from "../core/mod.ts";

/** How long a refusal counts: a name may mean another plugin later. */
const REMEMBERED_MS = 3_600_000; // an hour
const MAX_REMEMBERED = 1024;

/**
 * The plugins of providers that are known to work on a GPU. Of all others it is taken that they do not, so that nothing is set aside for
 * its time; the task says so to the provider, which refuses it when that is wrong.
 */
export class GpuPlugins {
  readonly #clock: Clock;
  /** Until when each counts, by target and reference, the oldest first. */
  readonly #known = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a task that names a plugin so is to be sent without money for a GPU, where its time has a price. */
  isLeftOut(target: string, plugin: string | undefined, { rates }: Pick<Offer, "rates">): boolean {
    if (plugin === undefined || rates.gpuSecond === 0n || isModuleRef(plugin)) return false;
    const until = this.#known.get(keyOf(target, plugin));
    return until === undefined || until <= this.#clock.now();
  }

  /** The provider has said that this plugin works on one. */
  note(target: string, plugin: string): void {
    const key = keyOf(target, plugin);
    this.#known.delete(key);
    if (this.#known.size >= MAX_REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(key, this.#clock.now() + REMEMBERED_MS);
  }
}

// No target holds this character.
const keyOf = (target: string, plugin: string): string => `${target}\n${plugin}`;
