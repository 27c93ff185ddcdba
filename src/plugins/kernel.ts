import { CallRandom, RANDOM_BYTE_COST } from "./call-random.ts";
import { KERNEL_BYTES } from "./kernel-bytes.ts";
import { KERNEL_API } from "./kernel-api.ts";
import type { ErrorCode, LogLevel } from "../core/mod.ts";
import type { HostAnswer, HostRequest } from "./host-request.ts";
import type { InstanceMeter } from "./instance-meter.ts";

export type HostFunction = (...args: never[]) => unknown;

/** Where a running call's words and output go. */
export interface CallSink {
  log(level: LogLevel, message: string): void;
  progress(fraction: number, message: string): void;
  /** A piece of output; the bytes are a view that is valid only during the call. */
  output(bytes: Uint8Array): void;
  /** Whether the caller no longer waits. */
  isCanceled(): boolean;
  /** Asks the node, and waits for its answer. Ends the call when it refuses. */
  ask(request: HostRequest): HostAnswer;
  /** Ends the call: throws, and remembers why. */
  refuse(code: RefusalCode, message: string): never;
}

/** Why a host function ends a call. */
export type RefusalCode = ErrorCode;

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
/** What asking the node counts as, beside one for every 8 bytes of the answer; part of the cost table (wasm-meter/costs.ts). */
const ASK_COST = 10_000;
const HTTP_COST = 1_000_000;
const VARIABLE_BYTES = 1 << 20; // 1 MiB a call, keys and values
const NO_BYTES = new Uint8Array(0);
const utf8 = new TextDecoder();
const encoder = new TextEncoder();
const module = new WebAssembly.Module(KERNEL_BYTES);

/** A request as it comes out of the plugin: two blocks and two numbers. */
interface RawRequest {
  readonly a: Uint8Array;
  readonly b: Uint8Array;
  readonly hasB: boolean;
  readonly x: number;
  readonly y: number;
}

interface KernelExports {
  "host:memory": WebAssembly.Memory;
  "host:begin"(inputLength: number, limit: number): number;
  "host:block"(length: number): number;
  "host:length"(at: number): number;
  "host:output_at": WebAssembly.Global<"i32">;
  "host:output_length": WebAssembly.Global<"i32">;
  "host:error_at": WebAssembly.Global<"i32">;
  "host:http_status": WebAssembly.Global<"i32">;
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
  readonly #random = new CallRandom();
  /** Headers of the last HTTP response, as JSON. */
  #headers = "";
  #variables: Map<string, Uint8Array> | undefined;
  #variableBytes = 0;

  constructor(sink: CallSink, meter: InstanceMeter) {
    this.#sink = sink;
    this.#meter = meter;
    const imports = {
      "velas:host": {
        refuse: () => this.#refuse(),
        canceled: () => this.#sink.isCanceled() ? 1 : 0,
        random: (at: number, length: number) => {
          this.#meter.charge((length >>> 0) * RANDOM_BYTE_COST);
          this.#random.fill(this.#view(at, length));
        },
        ask: (kind: number, a: number, aLength: number, b: number, bLength: number, x: number, y: number) =>
          this.#ask(this.#request(kind, { a: this.#view(a, aLength), b: this.#view(b, bLength), hasB: b !== 0, x, y })),
        ask_number: (kind: number, a: number, aLength: number) =>
          this.#answer(
            this.#request(kind, { a: this.#view(a, aLength), b: NO_BYTES, hasB: false, x: 0, y: 0 }),
          ).number ?? 0,
        http_headers: () => this.#headers === "" ? 0 : this.#putBlock(encoder.encode(this.#headers)),
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
    this.#headers = "";
    this.#random.begin(input);
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

  #request(kind: number, { a, b, hasB, x, y }: RawRequest): HostRequest {
    const name = utf8.decode(a);
    switch (kind) {
      case 0:
        return { type: "now" };
      case 1:
        return { type: "kv-get", key: name };
      case 2:
        return { type: "kv-set", key: name, ...hasB && { value: b.slice() } };
      case 3:
        return { type: "file-size", name };
      case 4:
        return { type: "file-read", name, offset: x, length: y };
      case 5:
        return { type: "file-write", name, content: b.slice() };
      case 7:
        return { type: "input", length: x };
      default:
        return { type: "http", request: name, body: b.slice() };
    }
  }

  #answer(request: HostRequest): HostAnswer {
    this.#meter.charge(request.type === "http" ? HTTP_COST : ASK_COST);
    const answer = this.#sink.ask(request);
    this.#charge(answer.bytes?.length ?? 0);
    return answer;
  }

  /** Asks, and puts the answer into a block; 0 when there is nothing. */
  #ask(request: HostRequest): number {
    const { bytes, number, headers = "" } = this.#answer(request);
    if (request.type === "http") {
      this.#exports["host:http_status"].value = number ?? 0;
      this.#headers = headers;
    }
    return bytes === undefined ? 0 : this.#putBlock(bytes);
  }

  #putBlock(bytes: Uint8Array): number {
    const at = this.#exports["host:block"](bytes.length);
    this.#memory().set(bytes, at >>> 0);
    return at;
  }

  #refuse(): never {
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
    return this.#putBlock(value);
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
