import type { PluginOutcome, PluginUse } from "../core/mod.ts";

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What each plugin was used for since the node started, by `name@version`. */
export class PluginMeters {
  readonly #uses = new Map<string, Mutable<PluginUse>>();

  /** Undefined of a plugin that was not called. */
  of(plugin: string): PluginUse | undefined {
    const use = this.#uses.get(plugin);
    return use === undefined ? undefined : { ...use };
  }

  succeeded(plugin: string, { usage }: PluginOutcome): void {
    const use = this.#use(plugin);
    use.calls++;
    use.wallMicros += usage.wallMicros;
    use.instructions += usage.instructions;
    use.gpuMicros += usage.gpuMicros ?? 0;
  }

  /** A call that failed; what it consumed is not known. */
  failed(plugin: string): void {
    const use = this.#use(plugin);
    use.calls++;
    use.failed++;
  }

  forget(plugin: string): void {
    this.#uses.delete(plugin);
  }

  #use(plugin: string): Mutable<PluginUse> {
    let use = this.#uses.get(plugin);
    if (use === undefined) {
      use = { calls: 0, failed: 0, wallMicros: 0, instructions: 0, gpuMicros: 0 };
      this.#uses.set(plugin, use);
    }
    return use;
  }
}
