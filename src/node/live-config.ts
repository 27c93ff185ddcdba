import { type Config, type ConfigChanges, configChanges, type ValueSource, withLiveSettings } from "../config/mod.ts";
import { type Log, NodeError } from "../core/mod.ts";

/** A configuration that was read, with where its values come from. */
export interface ReadConfig {
  readonly config: Config;
  readonly sources: ReadonlyMap<string, ValueSource>;
}

/** A part of the node that takes over more of a configuration than values. */
export interface ReloadPart {
  /**
   * Reads what a configuration names. Throws `config_invalid`, and then nothing changes. Gives the settings whose content has changed, and
   * what takes it over.
   */
  prepare(next: Config): { readonly applied: readonly string[]; apply(): void };
}

export interface LiveConfigOptions extends ReadConfig {
  /** Reads the configuration anew; it throws `config_invalid` with every fault. */
  readonly reread: (() => ReadConfig) | undefined;
  readonly log: Log;
}

/** The configuration of a node that runs. Who reads {@link config} when it needs a value has the newest. */
export class LiveConfig {
  readonly #options: LiveConfigOptions;
  readonly #listeners: ((config: Config) => void)[] = [];
  readonly #parts: ReloadPart[] = [];
  #config: Config;
  #sources: ReadonlyMap<string, ValueSource>;

  constructor(options: LiveConfigOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#sources = options.sources;
  }

  get config(): Config {
    return this.#config;
  }

  get sources(): ReadonlyMap<string, ValueSource> {
    return this.#sources;
  }

  /** Asks a part before each change, and has it take over its share. */
  addPart(part: ReloadPart): void {
    this.#parts.push(part);
  }

  /** Calls back with each new configuration. */
  onChange(listener: (config: Config) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Reads the configuration anew and takes over what can change. When it is not right, nothing changes and `config_invalid` is thrown.
   * Throws `failed_precondition` on a node that was not started from a file, flags and environment.
   */
  reload(): ConfigChanges {
    const { reread, log } = this.#options;
    if (reread === undefined) {
      throw new NodeError(
        "failed_precondition",
        "This node's configuration was handed in by a program; restart it instead",
      );
    }
    const next = reread();
    const { applied, needRestart } = configChanges(this.#config, next.config);
    const config = withLiveSettings(this.#config, next.config);
    const prepared = this.#parts.map((part) => part.prepare(config));
    const changes = {
      applied: [...new Set([...applied, ...prepared.flatMap((part) => part.applied)])],
      needRestart,
    };
    this.#config = config;
    for (const part of prepared) part.apply();
    // A value that waits for a restart still comes from where it came.
    this.#sources = new Map(
      [...this.#sources].map(([key, source]) =>
        changes.needRestart.includes(key) ? [key, source] : [key, next.sources.get(key) ?? source]
      ),
    );
    for (const listener of this.#listeners) listener(this.#config);
    log.info("Configuration read anew", { ...changes });
    return changes;
  }
}
