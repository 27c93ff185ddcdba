import createPlugin from "@extism/extism";
import type { Plugin } from "@extism/extism";
import { InstanceMeter } from "./instance-meter.ts";
import { Kernel } from "./kernel.ts";
import type { CallSink, HostFunction } from "./kernel.ts";
import { MEMORY_IMPORT, PAGE_BYTES, RENAMED_IMPORTS, SETUP_EXPORTS } from "./prepare-module.ts";
import { joinSections, SECTION, WasmWriter } from "./wasm-binary.ts";
import { Wasi, WasiExit } from "./wasi.ts";
import { WASI_MODULE } from "./wasi-names.ts";
import type { WorkerModule } from "./worker-protocol.ts";

/** Bounds of one call in an instance. */
export interface InstanceCall {
  /** Bounds the buffers that the plugin has on the host's side. */
  readonly bufferBytes: number;
  readonly wantsLogs: boolean;
  /** What it may spend. */
  readonly instructions: number;
}

/**
 * An instance of a plugin with its host side, ready to be called again and again, one call at a time. After a call that threw
 * it must be closed: what a plugin leaves behind when it stops in the middle is not fit for another call.
 */
export class WarmInstance {
  readonly #plugin: Plugin;
  readonly #kernel: Kernel;
  readonly #wasi: Wasi;
  readonly meter: InstanceMeter;
  readonly #exports: WebAssembly.Exports;
  readonly #memory: WebAssembly.Memory | undefined;
  /** The bound of the linear memory, in bytes. */
  readonly maxMemoryBytes: number;

  private constructor(plugin: Plugin, host: InstanceHost, shape: InstanceShape) {
    this.#plugin = plugin;
    this.#kernel = host.kernel;
    this.#wasi = host.wasi;
    this.meter = host.meter;
    this.#exports = shape.exports;
    this.#memory = shape.memory;
    this.maxMemoryBytes = shape.maxMemoryBytes;
  }

  /** Instantiates a prepared module with at most `memoryPages` of memory. Runs none of the plugin's code. */
  static async create({ module, memory }: WorkerModule, memoryPages: number, sink: CallSink): Promise<WarmInstance> {
    const meter = new InstanceMeter();
    const kernel = new Kernel(sink, meter);
    const wasi = new Wasi((level, message) => sink.log(level, message), meter);
    const max = memory === undefined ? 0 : Math.min(memory.max, memoryPages);
    const functions: Record<string, Record<string, HostFunction>> = {};
    for (const [name, host] of Object.entries({ ...kernel.functions(), [WASI_MODULE]: wasi.functions() })) {
      functions[RENAMED_IMPORTS.get(name) ?? name] = host;
      Object.values(host).forEach(keepUnbound);
    }
    const wasm = [{ name: "main", module }];
    if (memory !== undefined) wasm.push({ name: MEMORY_IMPORT.module, module: memoryModule(memory.min, max) });
    const plugin = await createPlugin({ wasm }, {
      runInWorker: false,
      useWasi: false,
      functions: functions as never,
      config: Object.create(null) as Record<string, string>,
      logLevel: "silent",
    });
    const { exports } = await plugin.getInstance();
    // The memory is the plugin's own when it exports one, as every compiler's output does; WASI needs it.
    const exported = Object.values(exports).find((value) => value instanceof WebAssembly.Memory);
    wasi.attach(exported);
    meter.attach(exports);
    return new WarmInstance(plugin, { kernel, wasi, meter }, {
      exports,
      memory: exported,
      maxMemoryBytes: max * PAGE_BYTES,
    });
  }

  /** Bytes of linear memory in use. */
  get memoryBytes(): number {
    return this.#memory?.buffer.byteLength ?? 0;
  }

  /** Bytes of the machine's memory that it holds while it waits. */
  get retainedBytes(): number {
    return this.memoryBytes + this.#kernel.retainedBytes;
  }

  /** Lets the plugin's language set itself up. To be called once, before the first call, which does not count it. */
  setUp(call: InstanceCall): void {
    this.#begin(new Uint8Array(0), call);
    for (const name of SETUP_EXPORTS) {
      const setup = this.#exports[name];
      if (typeof setup !== "function") continue;
      // A reactor is initialized; only a module that is no reactor is started like a program.
      if (name === "velas:_start" && "velas:_initialize" in this.#exports) continue;
      try {
        (setup as () => void)();
      } catch (error) {
        if (!(error instanceof WasiExit && error.code === 0)) throw error;
      }
    }
    this.#wasi.flush();
  }

  /** Calls a function and returns the output that it set: a view, valid until the next call. Throws whatever stopped it. */
  call(name: string, input: Uint8Array, call: InstanceCall): Uint8Array {
    this.#begin(input, call);
    (this.#exports[name] as () => unknown)();
    this.#wasi.flush();
    return this.#kernel.output();
  }

  /** The error that the plugin set in the present call. */
  error(): string | undefined {
    return this.#kernel.error();
  }

  close(): void {
    void this.#plugin.close();
  }

  #begin(input: Uint8Array, { bufferBytes, wantsLogs, instructions }: InstanceCall): void {
    this.meter.begin(instructions);
    this.#kernel.begin(input, { limitBytes: bufferBytes, wantsLogs });
    this.#wasi.begin(input);
  }
}

interface InstanceHost {
  readonly kernel: Kernel;
  readonly wasi: Wasi;
  readonly meter: InstanceMeter;
}

interface InstanceShape {
  readonly exports: WebAssembly.Exports;
  readonly memory: WebAssembly.Memory | undefined;
  readonly maxMemoryBytes: number;
}

/**
 * The Extism SDK binds a context of its own to each host function, which would turn every access of eight bytes into a call of
 * JavaScript. With this, `bind` gives back the function itself, and WebAssembly calls WebAssembly.
 */
function keepUnbound(fn: HostFunction): void {
  Object.defineProperty(fn, "bind", { value: () => fn, configurable: true });
}

const memoryModules = new Map<string, WebAssembly.Module>();

/** A module that has nothing but a memory with these bounds; the SDK links it to the plugin's import. */
function memoryModule(min: number, max: number): WebAssembly.Module {
  const key = `${min},${max}`;
  let module = memoryModules.get(key);
  if (module === undefined) {
    const memory = new WasmWriter().bytes([0x01, 0x01]).u32(min).u32(max).finish();
    const exports = new WasmWriter().bytes([0x01]).name(MEMORY_IMPORT.name).bytes([0x02, 0x00]).finish();
    module = new WebAssembly.Module(
      joinSections([{ id: SECTION.memory, body: memory }, { id: SECTION.export, body: exports }]),
    );
    // Tasks may each ask for another limit; what is cheap to make again need not be kept.
    if (memoryModules.size >= 64) memoryModules.clear();
    memoryModules.set(key, module);
  }
  return module;
}
