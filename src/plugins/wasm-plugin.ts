import { type CallScope, currentScope, grantedOf, inSpan, NodeError } from "../core/mod.ts";
import type { PluginCall, PluginOutcome } from "../core/mod.ts";
import { readInput } from "./call-input.ts";
import type { Places } from "./external-places.ts";
import type { AnswerRequest, HostRequest } from "./host-request.ts";
import type { HostServices } from "./host-services.ts";
import type { WorkerPool } from "./pool.ts";
import type { PoolOutcome } from "./pool-worker.ts";
import { PAGE_BYTES } from "./prepare-module.ts";
import type { PreparedModule } from "./prepare-module.ts";
import { StreamedInput } from "./streamed-input.ts";
import type { WorkerModule } from "./worker-protocol.ts";

export interface WasmPluginOptions {
  readonly pool: WorkerPool;
  readonly maxInputBytes: number;
  readonly services: HostServices;
  /** What the operator grants, as `plugin:permission`. */
  readonly grants: readonly string[];
  /** For calls that take a stream as it comes, which hold a worker while they wait for it. */
  readonly streamPlaces: Places;
}

/** A call, from its beginning to its end. */
interface ReadyCall {
  readonly call: PluginCall;
  readonly functionIndex: number;
  readonly memoryPages: number;
  /** What has come of the input. */
  inputBytes: number;
  /** What the result depends on beside the input, as far as the call has come. */
  used: Set<string> | undefined;
}

/** What a plugin learns from an answer that is neither in the module nor in the input. */
const LEARNED: Readonly<Partial<Record<HostRequest["type"], string>>> = {
  now: "clock",
  "kv-get": "kv",
  "file-size": "files.read",
  "file-read": "files.read",
  http: "http",
};

let lastModuleId = 0;

/** A prepared WASM module, run in the pool. */
export class WasmPlugin {
  readonly #pool: WorkerPool;
  readonly #prepared: PreparedModule;
  readonly #module: WorkerModule;
  readonly #indices: ReadonlyMap<string, number>;
  readonly #maxInputBytes: number;
  readonly #services: HostServices;
  readonly #granted: ReadonlySet<string>;
  readonly #streamPlaces: Places;
  #calls = 0;
  #closed = false;

  constructor(prepared: PreparedModule, options: WasmPluginOptions) {
    const { pool, maxInputBytes, services, grants, streamPlaces } = options;
    this.#services = services;
    this.#streamPlaces = streamPlaces;
    this.#granted = grantedOf(prepared.manifest.name, prepared.manifest.needs, grants);
    this.#pool = pool;
    this.#prepared = prepared;
    this.#maxInputBytes = maxInputBytes;
    const { module, memory, manifest } = prepared;
    const functions = manifest.functions.map(({ name }) => name);
    this.#module = { id: ++lastModuleId, module, functions, fresh: manifest.fresh, ...memory && { memory } };
    this.#indices = new Map(functions.map((name, i) => [name, i]));
  }

  get manifest(): PreparedModule["manifest"] {
    return this.#prepared.manifest;
  }

  /** Runs a function of the manifest. Throws as {@link PluginRuntime.execute} says. */
  async execute(call: PluginCall, functionName: string): Promise<PluginOutcome> {
    const functionIndex = this.#indices.get(functionName);
    if (functionIndex === undefined) throw noSuchFunction(this.manifest.name, functionName);
    const used = this.#prepared.usesRelaxedSimd ? new Set(["relaxed-simd"]) : undefined;
    const memoryPages = this.#memoryPages(call.limits.memoryBytes);
    const ready: ReadyCall = { call, functionIndex, memoryPages, inputBytes: 0, used };
    const { functions, streams } = this.manifest;
    this.#calls++;
    try {
      const { output, outputBytes, wallMicros, instructions } =
        await (streams.has(functionName) ? this.#runOnStream(ready) : this.#runOnWhole(ready));
      const outcome = {
        output,
        contentType: functions[functionIndex]!.outputContentType || "application/octet-stream",
        usage: { wallMicros, inputBytes: ready.inputBytes, outputBytes, instructions },
      };
      return ready.used === undefined ? outcome : { ...outcome, nondeterministic: [...ready.used].sort() };
    } finally {
      this.#calls--;
      if (this.#closed) this.#forget();
    }
  }

  /** Not async where the input is here already, as it most often is: each turn of a promise counts beside a small call. */
  #runOnWhole(ready: ReadyCall): Promise<PoolOutcome> {
    const run = (input: Uint8Array): Promise<PoolOutcome> => {
      ready.inputBytes = input.length;
      return this.#run(ready, input, nothingMore);
    };
    const input = readInput(ready.call, this.#maxInputBytes);
    return input instanceof Uint8Array ? run(input) : input.then(run);
  }

  /** Begins when something has come: a source that is silent holds no worker. */
  async #runOnStream(ready: ReadyCall): Promise<PoolOutcome> {
    const { call } = ready;
    const input = new StreamedInput(call);
    try {
      await input.begin();
      await this.#streamPlaces.enter(call.signal);
      try {
        const outcome = await this.#run(ready, new Uint8Array(0), (length) => input.read(length));
        ready.inputBytes = input.sizeBytes;
        return outcome;
      } finally {
        this.#streamPlaces.leave();
      }
    } catch (error) {
      throw input.failure === undefined ? error : input.failure.reason;
    } finally {
      input.close();
    }
  }

  #run(
    ready: ReadyCall,
    input: Uint8Array,
    more: (length: number) => Promise<Uint8Array | undefined>,
  ): Promise<PoolOutcome> {
    const { call, functionIndex, memoryPages } = ready;
    // It asks by messages of its worker, which belong to no call. Without a grant all it can ask for is input.
    const scope = this.#granted.size === 0 ? undefined : scopeOf(call);
    const onAsk: AnswerRequest = async (request) => {
      if (request.type === "input") {
        const bytes = await more(request.length);
        return bytes === undefined ? {} : { bytes };
      }
      const asker = {
        plugin: this.manifest.name,
        granted: this.#granted,
        requester: call.requester,
        signal: call.signal,
      };
      const answering = () => this.#services.answer(request, asker);
      const answer = await (scope === undefined ? answering() : scope(answering));
      const learned = LEARNED[request.type];
      if (learned !== undefined) (ready.used ??= new Set()).add(learned);
      return answer;
    };
    return this.#pool.run({
      module: this.#module,
      functionIndex,
      input,
      memoryPages,
      // Slots hold them as 32-bit numbers; more is no limit in practice.
      outputBytes: Math.min(call.limits.outputBytes, 0xffff_ffff),
      timeoutMs: Math.min(call.limits.timeoutMs, 0x7fff_0000),
      instructions: call.limits.instructions ?? Number.MAX_SAFE_INTEGER,
      streamsOutput: call.streamOutput === true,
      requester: call.requester,
      signal: call.signal,
      onEvent: call.onEvent,
      onAsk,
    });
  }

  /** Lets go of the module once the calls that run have ended. */
  close(): void {
    this.#closed = true;
    this.#forget();
  }

  #forget(): void {
    if (this.#calls === 0) this.#pool.forget(this.#module.id);
  }

  #memoryPages(memoryBytes: number): number {
    const pages = Math.floor(memoryBytes / PAGE_BYTES);
    const min = this.#prepared.memory?.min ?? 0;
    if (pages >= min) return pages;
    throw new NodeError(
      "memory_exceeded",
      `The plugin ${this.manifest.name} begins with ${
        min * PAGE_BYTES
      } bytes of memory, and the task allows ${memoryBytes}; ` +
        `raise limits.memoryBytes to at least ${min * PAGE_BYTES}`,
      { data: { needed: min * PAGE_BYTES, allowed: memoryBytes } },
    );
  }
}

/** Where a call belongs: to the running code, and to the span that goes with it. */
function scopeOf({ span }: PluginCall): CallScope {
  return span === undefined ? currentScope() : inSpan(span, currentScope);
}

/** The rest of an input that came whole. */
function nothingMore(): Promise<undefined> {
  return Promise.resolve(undefined);
}

/** The error for a function that a plugin does not have. */
export function noSuchFunction(plugin: string, name: string, known: readonly string[] = []): NodeError {
  const have = known.length > 0 ? `; it has ${known.slice(0, 20).join(", ")}` : "";
  return new NodeError("function_not_found", `The plugin ${plugin} has no function "${name.slice(0, 100)}"${have}`, {
    data: { plugin, function: name.slice(0, 100) },
  });
}
