import { type Log, NodeError, type PluginCall, type PluginInfo, type PluginOutcome, toNodeError } from "../core/mod.ts";
import { callExternal } from "./external-call.ts";
import { checkExternalManifest, type ExternalManifest, ORIGINAL_MANIFEST } from "./external-manifest.ts";
import { explainWire, ExternalConnection } from "./external-protocol.ts";
import { Places } from "./external-places.ts";
import type { PluginRuntime } from "./runtime.ts";

/** How a plugin outside the node is reached. Times are in milliseconds. */
export interface ExternalPluginOptions {
  /** The name that tasks give. */
  readonly name: string;
  /** `host:port`, `[v6]:port` or `dns:///host:port`. */
  readonly address: string;
  /** `velas`: PluginService; `original`: `resources.Plugin` of the 2020 node; `auto`: asks for the first, then takes the second. */
  readonly protocol: "auto" | "velas" | "original";
  readonly log: Log;
  /** From 0 up to 1; spreads reconnections. */
  readonly random?: () => number;
  /** For each question about the plugin's state. */
  readonly probeTimeoutMs?: number;
  /** Between two such questions while all is well. */
  readonly healthIntervalMs?: number;
  /** The wait after a first failed question; it doubles with each further one. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
  /** The largest input for the original protocol, whose calls carry it whole. */
  readonly maxInputBytes?: number;
}

/** A plugin outside the node. */
export interface ExternalPlugin extends PluginRuntime {
  /** Resolves when the first attempt to reach it has ended, well or not. */
  settled(): Promise<void>;
}

const DEFAULTS = {
  random: Math.random,
  probeTimeoutMs: 5_000,
  healthIntervalMs: 10_000,
  backoffMs: 250,
  maxBackoffMs: 15_000,
  maxInputBytes: 64 << 20,
} as const;

/**
 * Connects to an external plugin and keeps watch over it: it is asked what it is and whether it serves, at an interval, and sooner after a
 * call that lost it. Calls fail with `plugin_unavailable` while it does not answer. Throws `invalid_argument` when the address
 * cannot be read.
 */
export function connectExternalPlugin(options: ExternalPluginOptions): ExternalPlugin {
  return new WatchedPlugin({ ...DEFAULTS, ...options });
}

/** Why a plugin cannot take calls, in words. */
class Unready extends Error {}

class WatchedPlugin implements ExternalPlugin {
  readonly #options: Required<ExternalPluginOptions>;
  readonly #closing = new AbortController();
  readonly #calls = new Set<AbortController>();
  readonly #places = new Places();
  readonly #watch: Promise<void>;
  #connection: ExternalConnection;
  #protocol: "velas" | "original" = "velas";
  #info: PluginInfo;
  #settled = Promise.withResolvers<void>();
  #wake = () => {};
  #lostDuringCall = false;
  #nextProbeAt = 0;

  constructor(options: Required<ExternalPluginOptions>) {
    this.#options = options;
    this.#connection = new ExternalConnection(options.address, options.probeTimeoutMs);
    this.#info = {
      name: options.name,
      version: "0.0.0",
      sha256: "",
      runtime: "grpc",
      functions: [],
      description: "",
      isDefault: false,
      enabled: true,
      ready: false,
      problem: `It has not answered yet at ${options.address}`,
      address: options.address,
    };
    this.#watch = this.#keepWatch();
  }

  info(): PluginInfo {
    return this.#info;
  }

  settled(): Promise<void> {
    return this.#settled.promise;
  }

  async execute(call: PluginCall, functionName: string): Promise<PluginOutcome> {
    await this.#settled.promise;
    if (!this.#info.ready) throw this.#unavailable();
    const fn = this.#info.functions.find(({ name }) => name === functionName);
    if (fn === undefined) {
      throw new NodeError("function_not_found", `The plugin ${this.#info.name} has no function "${functionName}"`);
    }
    await this.#places.enter(call.signal);
    const stop = new AbortController();
    this.#calls.add(stop);
    try {
      if (this.#closing.signal.aborted) throw closed(this.#options.name);
      const { maxInputBytes } = this.#options;
      const connection = this.#connection;
      return await callExternal(call, { connection, protocol: this.#protocol, function: fn, stop, maxInputBytes });
    } catch (reason) {
      const error = toNodeError(reason);
      if (error.code === "plugin_unavailable") this.#lost(error.message);
      throw error;
    } finally {
      this.#places.leave();
      this.#calls.delete(stop);
    }
  }

  async close(): Promise<void> {
    const error = closed(this.#options.name);
    this.#closing.abort(error);
    for (const stop of this.#calls) stop.abort(error);
    this.#wake();
    await this.#watch;
    this.#connection.close();
  }

  #unavailable(): NodeError {
    const { name, problem } = this.#info;
    const retryAfterMs = Math.max(1, Math.ceil(this.#nextProbeAt - performance.now()));
    return new NodeError("plugin_unavailable", `The plugin ${name} does not take calls: ${problem}`, { retryAfterMs });
  }

  /** A call lost the connection: look at once what is the matter. */
  #lost(problem: string): void {
    this.#setProblem(problem);
    this.#lostDuringCall = true;
    this.#wake();
  }

  async #keepWatch(): Promise<void> {
    const { healthIntervalMs, backoffMs, maxBackoffMs, random } = this.#options;
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      this.#lostDuringCall = false;
      let waitMs = healthIntervalMs;
      try {
        await this.#probe();
        failures = 0;
      } catch (reason) {
        if (this.#closing.signal.aborted) break;
        if (this.#isBusy(reason)) waitMs = healthIntervalMs;
        else {
          this.#setProblem(reason instanceof Unready ? reason.message : this.#problemOf(reason));
          waitMs = Math.min(maxBackoffMs, backoffMs * 2 ** failures++) * (0.5 + random() / 2);
          // A connection on which nothing answers would never be replaced by itself.
          if (this.#calls.size === 0) this.#reconnect();
        }
      }
      this.#settled.resolve();
      await this.#sleep(waitMs);
    }
    this.#settled.resolve();
  }

  /** Asks the plugin what it is and whether it serves; throws why it cannot take calls. */
  async #probe(): Promise<void> {
    const { protocol, probeTimeoutMs, address } = this.#options;
    const signal = this.#closing.signal;
    const connection = this.#connection;
    let manifest: ExternalManifest = ORIGINAL_MANIFEST;
    let spoken: "velas" | "original" = "original";
    if (protocol !== "original") {
      try {
        manifest = checkExternalManifest(await connection.describe(probeTimeoutMs, signal));
        spoken = "velas";
      } catch (reason) {
        if (reason instanceof NodeError) throw new Unready(reason.message);
        if (explainWire(reason).kind !== "unserved") throw reason;
        if (protocol === "velas") {
          throw new Unready(
            `The server at ${address} does not serve velas.sphere.v1.PluginService; if it is a plugin of the original node, set its protocol to "original"`,
          );
        }
      }
    }
    await this.#checkHealth(connection);
    this.#protocol = spoken;
    this.#places.size = manifest.maxConcurrency;
    this.#setReady(manifest);
  }

  async #checkHealth(connection: ExternalConnection): Promise<void> {
    try {
      if (await connection.isServing(this.#options.probeTimeoutMs, this.#closing.signal)) return;
    } catch (reason) {
      // Health is optional: a gRPC server that answers that it does not know the question is alive.
      if (explainWire(reason).kind === "unserved") return;
      throw reason;
    }
    throw new Unready(`The plugin at ${this.#options.address} reports that it is not serving`);
  }

  /** A plugin that computes may be too busy to answer questions; that is no reason to give up its calls. */
  #isBusy(reason: unknown): boolean {
    return this.#calls.size > 0 && this.#info.ready && !(reason instanceof Unready) &&
      explainWire(reason).kind === "deadline";
  }

  #problemOf(reason: unknown): string {
    const { kind, message } = explainWire(reason);
    const { address, probeTimeoutMs } = this.#options;
    switch (kind) {
      case "deadline":
        return `No answer from ${address} within ${probeTimeoutMs} ms`;
      case "connection":
        return `No connection to ${address}: ${message}`;
      case "protocol":
        return `What answers at ${address} does not speak gRPC: ${message}`;
      default:
        return `The plugin at ${address} answered with an error: ${message}`;
    }
  }

  #reconnect(): void {
    this.#connection.close();
    this.#connection = new ExternalConnection(this.#options.address, this.#options.probeTimeoutMs);
  }

  #setReady(manifest: ExternalManifest): void {
    const { name, address, log } = this.#options;
    const before = this.#info;
    const { version, description, functions } = manifest;
    const { problem: _, ...rest } = before;
    this.#info = { ...rest, version, description, functions, ready: true };
    if (!before.ready) {
      log.info("External plugin is ready", { plugin: name, address, version, protocol: this.#protocol });
    }
  }

  #setProblem(problem: string): void {
    const { name, address, log } = this.#options;
    const before = this.#info;
    this.#info = { ...before, ready: false, problem };
    if (before.ready || before.problem !== problem) {
      log.warn("External plugin is not ready", { plugin: name, address, problem });
    }
  }

  #sleep(ms: number): Promise<void> {
    if (this.#lostDuringCall || this.#closing.signal.aborted) return Promise.resolve();
    this.#nextProbeAt = performance.now() + ms;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function closed(name: string): NodeError {
  return new NodeError(
    "shutting_down",
    `The plugin ${name} is being closed: the node is shutting down or the plugin is removed`,
  );
}
