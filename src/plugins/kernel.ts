import { KERNEL_BYTES } from "./kernel-bytes.ts";
import { KERNEL_API } from "./kernel-api.ts";
import type { LogLevel } from "../core/mod.ts";
import type { InstanceMeter } from "./instance-meter.ts";

export type HostFunction = (...args: never[]) => unknown;

/** Where a running call's words and output go. */
export interface CallSink {
  log(level: LogLevel, message: string): void;
  progress(fraction: number, message: string): void;
  /** A piece of output; the bytes are a view that is valid only during the call. */
  output(bytes: Uint8Array): void;
  /** Ends the call: throws, and remembers why. */
  refuse(code: RefusalCode, message: string): never;
}

/** Why a host function ends a call. */
export type RefusalCode = "memory_exceeded" | "permission_denied" | "output_too_large" | "canceled";

/** Thrown through the plugin by the host to end a call. */
export class HostRefusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string) {
    super(message);
    this.name = "HostRefusal";
    this.code = code;
  }
}

const LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];
const LOG_MESSAGE_BYTES = 8 << 10; // 8 KiB
const ERROR_TEXT_BYTES = 4 << 10; // 4 KiB
const VARIABLE_BYTES = 1 << 20; // 1 MiB a call, keys and values
const utf8 = new TextDecoder();
const module = new WebAssembly.Module(KERNEL_BYTES);

interface KernelExports {
  "host:memory": WebAssembly.Memory;
  "host:begin"(inputLength: number, limit: number): number;
  "host:block"(length: number): number;
  "host:length"(at: number): number;
  "host:output_at": WebAssembly.Global<"i32">;
  "host:output_length": WebAssembly.Global<"i32">;
  "host:error_at": WebAssembly.Global<"i32">;
}

/**
 * The host side of one plugin instance: the buffers through which input, output, errors, logs and variables pass (kernel.wat), and
 * what of it needs JavaScript. One call at a time.
 */
export class Kernel {
  readonly #exports: KernelExports;
  readonly #all: WebAssembly.Exports;
  #bytes: Uint8Array;
  readonly #sink: CallSink;
  readonly #meter: InstanceMeter;
  #wantsLogs = false;
  #limit = 0;
  #variables: Map<string, Uint8Array> | undefined;
  #variableBytes = 0;

  constructor(sink: CallSink, meter: InstanceMeter) {
    this.#sink = sink;
    this.#meter = meter;
    const imports = {
      "velas:host": {
        refuse: (why: number) => this.#refuse(why),
        log: (level: number, at: number, length: number) => this.#log(level, at, length),
        progress: (fraction: number, at: number, length: number) =>
          this.#sink.progress(fraction, this.#message(at, length)),
        output: (at: number, length: number) => {
          this.#charge(length);
          this.#sink.output(this.#view(at, length));
        },
        var_get: (key: number, keyLength: number) => this.#variable(key, keyLength),
        var_set: (key: number, keyLength: number, value: number, valueLength: number) => {
          this.#charge((keyLength >>> 0) + (valueLength >>> 0));
          this.#setVariable(utf8.decode(this.#view(key, keyLength)), value, valueLength);
        },
      },
    };
    this.#all = new WebAssembly.Instance(module, imports).exports;
    this.#exports = this.#all as unknown as KernelExports;
    this.#bytes = new Uint8Array(this.#exports["host:memory"].buffer);
  }

  /** The functions that plugins may import, by module name. They are functions of WebAssembly. */
  functions(): Record<string, Record<string, HostFunction>> {
    const functions: Record<string, Record<string, HostFunction>> = {};
    for (const [namespace, names] of KERNEL_API) {
      functions[namespace] = {};
      for (const name of names.keys()) functions[namespace][name] = this.#all[name] as HostFunction;
    }
    return functions;
  }

  /** Bytes of the machine's memory that the buffers hold, in use or not. */
  get retainedBytes(): number {
    return this.#exports["host:memory"].buffer.byteLength;
  }

  /** Empties the buffers and puts a call's input in. `limitBytes` bounds what the plugin may allocate of them. */
  begin(input: Uint8Array, { limitBytes, wantsLogs }: { limitBytes: number; wantsLogs: boolean }): void {
    this.#limit = limitBytes;
    this.#variables = undefined;
    this.#variableBytes = 0;
    // The input is the host's; it does not count against the plugin.
    const bound = Math.min(limitBytes + input.length + 64, 0xffff_0000);
    const at = this.#exports["host:begin"](input.length, bound) >>> 0;
    this.#wantsLogs = wantsLogs;
    this.#memory().set(input, at);
  }

  /** The output that the plugin set: a view, valid until the next call. */
  output(): Uint8Array {
    return this.#view(this.#exports["host:output_at"].value, this.#exports["host:output_length"].value);
  }

  /** The error that the plugin set, cut to 4 KiB; undefined when it set none. */
  error(): string | undefined {
    const at = this.#exports["host:error_at"].value >>> 0;
    if (at === 0) return undefined;
    return utf8.decode(this.#view(at, Math.min(this.#exports["host:length"](at) >>> 0, ERROR_TEXT_BYTES)));
  }

  #refuse(why: number): never {
    if (why === 1) {
      this.#sink.refuse("permission_denied", "The plugin called http_request, and plugins have no network here");
    }
    this.#sink.refuse(
      "memory_exceeded",
      `The plugin asked the host for buffers of more than ${this.#limit} bytes in one call; raise limits.memoryBytes, or let ` +
        "the plugin free what it no longer needs",
    );
  }

  #memory(): Uint8Array {
    // Growing detaches the old buffer.
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.#exports["host:memory"].buffer);
    return this.#bytes;
  }

  /** Coordinates come from the kernel, which checked them; `subarray` clamps what may still be wrong. */
  #view(at: number, length: number): Uint8Array {
    return this.#memory().subarray(at >>> 0, (at >>> 0) + (length >>> 0));
  }

  #log(level: number, at: number, length: number): void {
    this.#sink.log(LEVELS[level] ?? "info", this.#message(at, length));
  }

  /** The text of a log line or of progress. What nobody will read is charged, so that the count does not tell, but not decoded. */
  #message(at: number, length: number): string {
    const bytes = Math.min(length >>> 0, LOG_MESSAGE_BYTES);
    this.#charge(bytes);
    return this.#wantsLogs ? utf8.decode(this.#view(at, bytes)) : "";
  }

  #charge(length: number): void {
    this.#meter.charge((length >>> 0) / 8);
  }

  /** Puts a variable's value into a new block. Variables last for one call: the next may be another requester's. */
  #variable(key: number, keyLength: number): number {
    this.#charge(keyLength);
    const value = this.#variables?.get(utf8.decode(this.#view(key, keyLength)));
    if (value === undefined) return 0;
    this.#charge(value.length);
    const at = this.#exports["host:block"](value.length);
    this.#memory().set(value, at >>> 0);
    return at;
  }

  #setVariable(key: string, value: number, valueLength: number): void {
    this.#variables ??= new Map();
    const size = (held: Uint8Array | undefined) => held === undefined ? 0 : held.length + key.length;
    this.#variableBytes -= size(this.#variables.get(key));
    this.#variables.delete(key);
    if (value === 0) return;
    this.#variableBytes += (valueLength >>> 0) + key.length;
    if (this.#variableBytes > VARIABLE_BYTES) {
      this.#sink.refuse("memory_exceeded", `The plugin set variables of more than ${VARIABLE_BYTES} bytes in one call`);
    }
    this.#variables.set(key, this.#view(value, valueLength).slice());
  }
}
