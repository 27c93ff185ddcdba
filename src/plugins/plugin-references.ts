import { NodeError } from "../core/mod.ts";
import type { PluginCall, PluginInfo, PluginOutcome, RequesterId, ResolvedFunction } from "../core/mod.ts";
import type { ExternalPlugin } from "./external-plugin.ts";
import { compareVersions } from "./plugin-manifest.ts";
import type { RegistryEntry } from "./registry.ts";
import { noSuchFunction } from "./wasm-plugin.ts";

const RESOLVED_NAMES = 10_000;
/** How many plugins the error for an unknown one names. */
const SHOWN_NAMES = 20;

/** Something that a reference can mean. */
export interface Candidate {
  readonly info: () => PluginInfo;
  readonly execute: (call: PluginCall, functionName: string) => Promise<PluginOutcome>;
  /** Of a WASM plugin. */
  readonly entry?: RegistryEntry;
  /** Whether it is a module that a requester brought, and may be gone at the next call. */
  readonly isModule?: boolean;
  /** Of an external plugin: until its first attempt to connect has ended, its functions are not known. */
  readonly external?: ExternalPlugin;
}

export interface Resolution {
  readonly candidate: Candidate;
  readonly resolved: ResolvedFunction;
}

export interface ReferenceOptions {
  /** What an empty reference means; empty for nothing. */
  readonly defaultPlugin: string;
  /** Every plugin that there is now, ready or not. */
  readonly candidates: () => readonly Candidate[];
  /** The module of a requester that a reference means to somebody; undefined when it means a plugin. */
  readonly module: (ref: string, requester: RequesterId | undefined) => Candidate | undefined;
}

/** What references to plugins mean: `name` (its highest version that is enabled), `name@version`, a SHA-256 in hex, or empty for the default. */
export class PluginReferences {
  readonly #options: ReferenceOptions;
  /** What references to WASM plugins mean, until something changes. */
  readonly #resolutions = new Map<string, Resolution>();

  constructor(options: ReferenceOptions) {
    this.#options = options;
  }

  /** A plugin has come, gone or changed. */
  forget(): void {
    this.#resolutions.clear();
  }

  /**
   * What a call would run; an empty `fn` is the first function. Throws `plugin_not_found` or `function_not_found`.
   */
  resolve(plugin: string, fn: string, requester: RequesterId | undefined): Resolution {
    // No name of a plugin or function holds this character.
    const key = `${plugin}\n${fn}`;
    const known = this.#resolutions.get(key);
    if (known !== undefined) return known;
    const candidate = this.#options.module(plugin, requester) ?? this.#pick(plugin);
    const info = candidate.info();
    const found = fn === "" ? info.functions[0] : info.functions.find(({ name }) => name === fn);
    // An external plugin that is down may have lost its list; only it can say, when it is called.
    if (found === undefined && !(candidate.external !== undefined && !info.ready)) {
      throw noSuchFunction(info.name, fn, info.functions.map(({ name }) => name));
    }
    const resolution = {
      candidate,
      resolved: {
        plugin: `${info.name}@${info.version}`,
        sha256: info.sha256,
        function: found?.name ?? fn,
        outputContentType: found?.outputContentType || "application/octet-stream",
      },
    };
    // External plugins change by themselves, and modules of requesters come and go. The bound keeps callers from filling the memory with spellings of one reference.
    const stays = candidate.external === undefined && candidate.isModule !== true;
    if (stays && this.#resolutions.size < RESOLVED_NAMES) {
      this.#resolutions.set(key, resolution);
    }
    return resolution;
  }

  /** The plugin that takes a call with this reference. */
  #pick(ref: string): Candidate {
    const meant = ref === "" ? this.#options.defaultPlugin : ref;
    if (meant === "") {
      throw new NodeError(
        "plugin_not_found",
        "The task names no plugin, and this node has no default plugin (plugins.default)",
      );
    }
    const matches = this.#matching(meant);
    // A plugin of the configuration takes calls even when it is down: that is for the caller to hear.
    const match = matches.find(({ external }) => external !== undefined) ?? matches.findLast((c) => c.info().ready);
    if (match !== undefined) return match;
    const reason = matches.at(-1)?.info().problem;
    const shown = meant.slice(0, 100);
    throw new NodeError(
      "plugin_not_found",
      reason === undefined
        ? `There is no plugin "${shown}" here; GET /v1/plugins lists those that there are`
        : `The plugin "${shown}" does not take calls here: ${reason}`,
      { data: { plugin: shown } },
    );
  }

  /** What a reference can mean, the best last. */
  #matching(ref: string): Candidate[] {
    const isDigest = /^[0-9a-f]{64}$/i.test(ref);
    const digest = ref.toLowerCase();
    return this.#options.candidates()
      .map((candidate) => ({ candidate, info: candidate.info() }))
      .filter(({ info }) =>
        isDigest ? info.sha256 === digest : info.name === ref || `${info.name}@${info.version}` === ref
      )
      .sort((a, b) => compareVersions(a.info.version, b.info.version))
      .map(({ candidate }) => candidate);
  }

  /** The plugin that an operator means, ready or not. Throws `plugin_not_found`. */
  find(ref: string): Candidate {
    const matches = this.#matching(ref);
    const match = matches.findLast((candidate) => candidate.info().ready) ?? matches.at(-1);
    if (match !== undefined) return match;
    const shown = ref.slice(0, 100);
    throw new NodeError("plugin_not_found", `There is no plugin "${shown}" here; ${this.#whatThereIs()}`, {
      data: { plugin: shown },
    });
  }

  /** The names of the plugins, for whoever asked for another; of many the first ones. */
  #whatThereIs(): string {
    const names = this.#options.candidates().map((candidate) => candidate.info()).map(({ name, version }) =>
      `${name}@${version}`
    );
    if (names.length === 0) return "this node has none";
    const more = names.length - SHOWN_NAMES;
    return `this node has ${names.slice(0, SHOWN_NAMES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  }

  /** The plugin that an empty reference means, if it takes calls. */
  default(): Candidate | undefined {
    try {
      return this.#pick("");
    } catch {
      return undefined;
    }
  }
}
