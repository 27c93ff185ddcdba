import { Buffer } from "node:buffer";
import {
  gpuNeeded,
  NodeError,
  type PluginCall,
  type PluginOutcome,
  type ResolvedFunction,
} from "../../src/core/mod.ts";

const FUNCTIONS = ["echo", "gate", "fail", "internal", "logs", "words", "big", "stubborn"] as const;

/** A run that waits in a gated function until the test lets it go. */
export interface GatedRun {
  readonly call: PluginCall;
  /** Lets it return its input. */
  open(): void;
  fail(error: Error): void;
}

/**
 * A plugin host without plugins, whose functions misbehave on demand:
 * `echo` returns its input; `gate` waits until the test opens it, and can be canceled; `fail` reports an error, `internal` throws
 * a foreign one; `logs` writes as many log lines as its input says; `words` streams its input back in pieces; `big` returns as
 * many bytes as its input says; `stubborn` is a gate that ignores being canceled.
 */
export class FakeHost {
  readonly calls: PluginCall[] = [];
  readonly gated: GatedRun[] = [];
  /** Whether the plugin works on a GPU. */
  gpu = false;
  /** How often a plugin is kept and was not let go of. */
  readonly kept = new Map<string, number>();
  readonly #arrivals: { readonly count: number; readonly resolve: () => void }[] = [];

  keep(plugin: string): () => void {
    const add = (change: number) => this.kept.set(plugin, (this.kept.get(plugin) ?? 0) + change);
    add(1);
    return () => add(-1);
  }

  resolve(plugin: string, fn: string): ResolvedFunction {
    if (plugin !== "" && plugin !== "fake") {
      throw new NodeError("plugin_not_found", `There is no plugin ${JSON.stringify(plugin)} here`);
    }
    const name = fn === "" ? "echo" : fn;
    if (!(FUNCTIONS as readonly string[]).includes(name)) {
      throw new NodeError("function_not_found", `The plugin fake has no function ${JSON.stringify(fn)}`);
    }
    const resolved = { plugin: "fake@1.0.0", sha256: "ab".repeat(32), function: name, outputContentType: "text/plain" };
    return this.gpu ? { ...resolved, gpu: true } : resolved;
  }

  async execute(call: PluginCall): Promise<PluginOutcome> {
    const { function: name, outputContentType } = this.resolve(call.plugin, call.function);
    if (this.gpu && call.limits.noGpu === true) throw gpuNeeded("fake");
    this.calls.push(call);
    if (call.signal.aborted) throw new NodeError("canceled", "The call was canceled before it began");
    if (name === "words") return await this.#words(call);
    const input = await collect(call.input);
    return {
      output: await this.#output(name, input, call),
      contentType: outputContentType,
      usage: { wallMicros: 5, inputBytes: input.length, outputBytes: input.length, instructions: 0 },
    };
  }

  /** Waits until this many runs have reached a gate, and returns the last of them. */
  async reached(count: number): Promise<GatedRun> {
    if (this.gated.length < count) {
      await new Promise<void>((resolve) => this.#arrivals.push({ count, resolve }));
    }
    return this.gated[count - 1]!;
  }

  async #output(name: string, input: Uint8Array, call: PluginCall): Promise<Uint8Array> {
    switch (name) {
      case "gate":
      case "stubborn":
        await this.#gate(call, name === "gate");
        return input;
      case "fail":
        throw new NodeError("plugin_failed", `The plugin says: ${new TextDecoder().decode(input)}`, {
          data: { exit: 3 },
        });
      case "internal":
        throw new TypeError("a secret of the host");
      case "logs":
        for (let i = 0; i < Number(new TextDecoder().decode(input)); i++) {
          call.onEvent?.({ type: "log", level: "info", message: `line ${i}`, at: i });
        }
        return input;
      case "big":
        return new Uint8Array(Number(new TextDecoder().decode(input))).fill(7);
      default:
        return input;
    }
  }

  async #words(call: PluginCall): Promise<PluginOutcome> {
    const pieces: Uint8Array[] = [];
    let size = 0;
    const source = call.input instanceof Uint8Array ? [call.input] : call.input;
    for await (const piece of source) {
      if (call.signal.aborted) throw new NodeError("canceled", "The call was canceled");
      size += piece.length;
      if (call.streamOutput) await call.onEvent?.({ type: "chunk", bytes: piece });
      else pieces.push(piece);
      call.onEvent?.({ type: "progress", fraction: 0.5, message: "half", at: 1 });
    }
    return {
      output: join(pieces),
      contentType: "text/plain",
      usage: { wallMicros: 7, inputBytes: size, outputBytes: size, instructions: 0 },
    };
  }

  #gate(call: PluginCall, cancelable: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (cancelable) {
        const stop = () => reject(new NodeError("canceled", "The call was canceled"));
        if (call.signal.aborted) stop();
        else call.signal.addEventListener("abort", stop);
      }
      this.gated.push({ call, open: resolve, fail: reject });
      for (const arrival of [...this.#arrivals]) {
        if (this.gated.length < arrival.count) continue;
        this.#arrivals.splice(this.#arrivals.indexOf(arrival), 1);
        arrival.resolve();
      }
    });
  }
}

async function collect(input: PluginCall["input"]): Promise<Uint8Array> {
  if (input instanceof Uint8Array) return input;
  const pieces: Uint8Array[] = [];
  for await (const piece of input) pieces.push(piece);
  return join(pieces);
}

/** Joins pieces into one. */
export function join(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}
