import { grantedOf, NodeError } from "../core/mod.ts";
import type { PluginCall, PluginOutcome } from "../core/mod.ts";
import { readInput } from "./call-input.ts";
import type { HostServices } from "./host-services.ts";
import type { WorkerPool } from "./pool.ts";
import { PAGE_BYTES } from "./prepare-module.ts";
import type { PreparedModule } from "./prepare-module.ts";
import type { WorkerModule } from "./worker-protocol.ts";

export interface WasmPluginOptions {
  readonly pool: WorkerPool;
  readonly maxInputBytes: number;
  readonly services: HostServices;
  /** What the operator grants, as `plugin:permission`. */
  readonly grants: readonly string[];
}

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
  #calls = 0;
  #closed = false;

  constructor(prepared: PreparedModule, { pool, maxInputBytes, services, grants }: WasmPluginOptions) {
    this.#services = services;
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
    const memoryPages = this.#memoryPages(call.limits.memoryBytes);
    this.#calls++;
    try {
      const input = await readInput(call, this.#maxInputBytes);
      const { output, outputBytes, wallMicros, instructions } = await this.#pool.run({
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
        onAsk: (request) =>
          this.#services.answer(request, {
            plugin: this.manifest.name,
            granted: this.#granted,
            requester: call.requester,
            signal: call.signal,
          }),
      });
      return {
        output,
        contentType: this.manifest.functions[functionIndex]!.outputContentType || "application/octet-stream",
        usage: { wallMicros, inputBytes: input.length, outputBytes, instructions },
      };
    } finally {
      this.#calls--;
      if (this.#closed) this.#forget();
    }
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
