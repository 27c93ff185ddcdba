import { currentScope, grantedOf, NodeError } from "../core/mod.ts";
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

/** What of a call was settled before it runs. */
interface ReadyCall {
  readonly call: PluginCall;
  readonly functionIndex: number;
  readonly memoryPages: number;
  /** What the result depends on beside the input, as far as the call has come. */
  readonly used: Set<string>;
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
    const used = new Set<string>(this.#prepared.usesRelaxedSimd ? ["relaxed-simd"] : []);
    const ready = { call, functionIndex, memoryPages: this.#memoryPages(call.limits.memoryBytes), used };
    this.#calls++;
    try {
      const { inputBytes, ...outcome } = this.manifest.streams.has(functionName)
        ? await this.#runOnStream(ready)
        : await this.#runOnWhole(ready);
      const { output, outputBytes, wallMicros, instructions } = outcome;
      const nondeterministic = [...ready.used].sort();
      return {
        output,
        contentType: this.manifest.functions[functionIndex]!.outputContentType || "application/octet-stream",
        usage: { wallMicros, inputBytes, outputBytes, instructions },
        ...(nondeterministic.length > 0 && { nondeterministic }),
      };
    } finally {
      this.#calls--;
      if (this.#closed) this.#forget();
    }
  }

  async #runOnWhole(ready: ReadyCall): Promise<PoolOutcome & { inputBytes: number }> {
    const input = await readInput(ready.call, this.#maxInputBytes);
    // Nothing more comes.
    return { ...await this.#run(ready, input, () => Promise.resolve(undefined)), inputBytes: input.length };
  }

  /** Begins when something has come: a source that is silent holds no worker. */
  async #runOnStream(ready: ReadyCall): Promise<PoolOutcome & { inputBytes: number }> {
    const { call } = ready;
    const input = new StreamedInput(call);
    try {
      await input.begin();
      await this.#streamPlaces.enter(call.signal);
      try {
        const outcome = await this.#run(ready, new Uint8Array(0), (length) => input.read(length));
        return { ...outcome, inputBytes: input.sizeBytes };
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
    { call, functionIndex, memoryPages, used }: ReadyCall,
    input: Uint8Array,
    more: (length: number) => Promise<Uint8Array | undefined>,
  ): Promise<PoolOutcome> {
    // It asks by messages of its worker, which belong to no call. Without a grant all it can ask for is input.
    const scope = this.#granted.size === 0 ? undefined : currentScope();
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
      if (learned !== undefined) used.add(learned);
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

/** The error for a function that a plugin does not have. */
export function noSuchFunction(plugin: string, name: string, known: readonly string[] = []): NodeError {
  const have = known.length > 0 ? `; it has ${known.slice(0, 20).join(", ")}` : "";
  return new NodeError("function_not_found", `The plugin ${plugin} has no function "${name.slice(0, 100)}"${have}`, {
    data: { plugin, function: name.slice(0, 100) },
  });
}
