import process from "node:process";
import {
  gpuNeeded,
  type Log,
  NodeError,
  noMetrics,
  type PluginCall,
  type PluginFunction,
  type PluginInfo,
  type PluginOutcome,
  toNodeError,
} from "../core/mod.ts";
import { callExternal } from "./external-call.ts";
import type { ExternalManifest } from "./external-manifest.ts";
import { Places } from "./external-places.ts";
import { probePlugin, problemOf, Unready } from "./external-probe.ts";
import { explainWire, ExternalConnection } from "./external-protocol.ts";
import { GpuQueue, type GpuTurn } from "./gpu-queue.ts";
import { PluginProcess, type PluginSocket } from "./plugin-process.ts";
import type { PluginRuntime } from "./runtime.ts";

/** How a plugin outside the node is reached. Times are in milliseconds. */
export interface ExternalPluginOptions {
  /** The name that tasks give. */
  readonly name: string;
  /** `host:port`, `[v6]:port` or `dns:///host:port`, where it is dialled; or absent, when the node runs its `command`. */
  readonly address?: string | undefined;
  /** Program and arguments, which the node starts, watches and stops; absent with an address. */
  readonly command?: readonly string[] | undefined;
  /** The folder that the command runs in; by default the node's. */
  readonly cwd?: string | undefined;
  /** What the command's environment has beside the few variables that all have; see {@link PluginCommand}. */
  readonly env?: readonly string[] | undefined;
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
  /** How long a command may take to answer after it was started. */
  readonly startTimeoutMs?: number;
  /** How long a command may take to end when it is asked to. */
  readonly graceMs?: number;
  /** A command that served for so long begins with the shortest wait when it ends. */
  readonly stableMs?: number;
  /** The line for the node's GPU, which all plugins share that work on it; by default it has one of its own. */
  readonly gpu?: GpuQueue;
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
  startTimeoutMs: 30_000,
  graceMs: 5_000,
  stableMs: 60_000,
} as const;

/** So many questions without an answer, one after another, and a command is started anew. */
const HUNG_PROBES = 3;

type Options = ExternalPluginOptions & Required<Pick<ExternalPluginOptions, keyof typeof DEFAULTS>>;

/**
 * Connects to an external plugin and keeps watch over it: it is asked what it is and whether it serves, at an interval, and sooner after a
 * call that lost it. Calls fail with `plugin_unavailable` while it does not answer. Throws `invalid_argument` when the address
 * cannot be read. With a command it also runs the plugin, and ends it when it is closed.
 */
export function connectExternalPlugin(options: ExternalPluginOptions): ExternalPlugin {
  return new WatchedPlugin({ ...DEFAULTS, ...options });
}

class WatchedPlugin implements ExternalPlugin {
  readonly #options: Options;
  /** Of a plugin that the node runs. */
  readonly #process: PluginProcess | undefined;
  /** What the problem texts call it. */
  readonly #where: string;
  readonly #closing = new AbortController();
  readonly #calls = new Set<AbortController>();
  readonly #places = new Places();
  readonly #gpu: GpuQueue;
  /** Calls that wait for the GPU. */
  readonly #inGpuLine = new Set<AbortController>();
  #needsGpu = false;
  readonly #watch: Promise<void>;
  #connection: ExternalConnection | undefined;
  /** The secret of the process that the connection leads to. */
  #secret = "";
  #protocol: "velas" | "original" = "velas";
  #info: PluginInfo;
  #settled = Promise.withResolvers<void>();
  #wake = () => {};
  #lostDuringCall = false;
  #nextProbeAt = 0;

  constructor(options: Options) {
    this.#options = options;
    const { address, command, gpu = new GpuQueue({ maxWaiting: Infinity, metrics: noMetrics }) } = options;
    this.#gpu = gpu;
    if (address !== undefined) this.#connection = new ExternalConnection(address, options.probeTimeoutMs);
    else if (command === undefined || command.length === 0) {
      throw new NodeError("invalid_argument", `The plugin ${options.name} has neither an address nor a command`);
    } else {
      this.#process = new PluginProcess({
        ...options,
        command,
        environment: process.env,
        log: options.log.child({ plugin: options.name }),
        onExit: () => this.#lost("Its process ended"),
      });
    }
    this.#where = address ?? "its socket";
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
      problem: `It has not answered yet at ${this.#where}`,
      ...address !== undefined && { address },
    };
    this.#watch = this.#keepWatch();
  }

  info(): PluginInfo {
    return this.#needsGpu ? { ...this.#info, gpu: this.#gpu.lineOf(this.#info.name) } : this.#info;
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
    if (this.#needsGpu && call.limits.noGpu === true) throw gpuNeeded(this.#info.name);
    if (!this.#needsGpu) return await this.#run(call, { fn, hasGpu: false });
    // Before its place among the plugin's own calls: who waits there would hold it while others have the GPU.
    const turn = await this.#enterGpu(call);
    try {
      if (!this.#info.ready) throw this.#unavailable();
      return await this.#run(call, { fn, hasGpu: true });
    } finally {
      turn.leave();
    }
  }

  async #enterGpu({ requester, signal }: PluginCall): Promise<GpuTurn> {
    const wait = new AbortController();
    const onAbort = () => wait.abort(new NodeError("canceled", "The call was canceled while it waited for the GPU"));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    this.#inGpuLine.add(wait);
    try {
      return await this.#gpu.enter({ plugin: this.#info.name, requester, signal: wait.signal });
    } finally {
      this.#inGpuLine.delete(wait);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #run(call: PluginCall, { fn, hasGpu }: { fn: PluginFunction; hasGpu: boolean }): Promise<PluginOutcome> {
    await this.#places.enter(call.signal);
    const stop = new AbortController();
    this.#calls.add(stop);
    try {
      if (this.#closing.signal.aborted) throw closed(this.#options.name);
      const { maxInputBytes } = this.#options;
      const connection = this.#connection!;
      const protocol = this.#protocol;
      return await callExternal(call, { connection, protocol, function: fn, hasGpu, stop, maxInputBytes });
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
    for (const stop of [...this.#calls, ...this.#inGpuLine]) stop.abort(error);
    this.#wake();
    await Promise.all([this.#watch, this.#process?.close()]);
    this.#connection?.close();
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
        this.#process?.serves();
      } catch (reason) {
        if (this.#closing.signal.aborted) break;
        if (this.#isBusy(reason)) waitMs = healthIntervalMs;
        else {
          this.#setProblem(problemOf(reason, { ...this.#options, where: this.#where }));
          waitMs = Math.min(maxBackoffMs, backoffMs * 2 ** failures++) * (0.5 + random() / 2);
          if (this.#process !== undefined) {
            waitMs = await this.#mendProcess(this.#process, { failures, waitMs });
            if (this.#process.isStarting) {
              await this.#sleep(waitMs);
              continue; // callers wait for the end of its start
            }
          } else if (this.#calls.size === 0) {
            // A connection on which nothing answers would never be replaced by itself.
            this.#reconnect(this.#options.address!);
          }
        }
      }
      this.#settled.resolve();
      await this.#sleep(waitMs);
    }
    this.#settled.resolve();
  }

  /** Ends a process that does not answer, and says how long to wait before the next question, in milliseconds. */
  async #mendProcess(plugin: PluginProcess, state: { failures: number; waitMs: number }): Promise<number> {
    const { startTimeoutMs } = this.#options;
    if (plugin.isLate) {
      const problem = `It did not describe itself within ${startTimeoutMs} ms (${this.#info.problem}) and was stopped`;
      this.#setProblem(problem);
      await plugin.stop(problem);
    } else if (!plugin.isStarting && plugin.pid !== undefined && state.failures >= HUNG_PROBES) {
      await plugin.stop(`It did not answer ${HUNG_PROBES} questions one after another and was stopped`);
    }
    return plugin.pid === undefined ? plugin.waitMs : state.waitMs;
  }

  /** Where the plugin is now; starts it when it is the node's to run and does not. */
  async #connected(signal: AbortSignal): Promise<ExternalConnection> {
    if (this.#process === undefined) return this.#connection!;
    let socket: PluginSocket;
    try {
      socket = await this.#process.socket(signal);
    } catch (reason) {
      throw new Unready((reason as Error).message);
    }
    if (socket.secret !== this.#secret) {
      this.#secret = socket.secret;
      this.#reconnect(socket);
    }
    return this.#connection!;
  }

  /** Has the plugin be what it says that it is; throws why it cannot take calls. */
  async #probe(): Promise<void> {
    const signal = this.#closing.signal;
    const connection = await this.#connected(signal);
    const { manifest, protocol } = await probePlugin(connection, { ...this.#options, where: this.#where, signal });
    this.#protocol = protocol;
    this.#places.size = manifest.maxConcurrency;
    this.#needsGpu = manifest.gpu;
    this.#setReady(manifest);
  }

  /** A plugin that computes may be too busy to answer questions; that is no reason to give up its calls. */
  #isBusy(reason: unknown): boolean {
    return this.#calls.size > 0 && this.#info.ready && !(reason instanceof Unready) &&
      explainWire(reason).kind === "deadline";
  }

  #reconnect(place: string | PluginSocket): void {
    this.#connection?.close();
    this.#connection = new ExternalConnection(place, this.#options.probeTimeoutMs);
  }

  #setReady(manifest: ExternalManifest): void {
    const { name, log } = this.#options;
    const address = this.#where;
    const before = this.#info;
    const { version, description, functions } = manifest;
    const { problem: _, ...rest } = before;
    this.#info = { ...rest, version, description, functions, ready: true };
    if (!before.ready) {
      log.info("External plugin is ready", { plugin: name, address, version, protocol: this.#protocol });
    }
  }

  #setProblem(problem: string): void {
    const { name, log } = this.#options;
    const address = this.#where;
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
