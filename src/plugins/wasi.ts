import type { LogLevel } from "../core/mod.ts";
import { CallRandom, RANDOM_BYTE_COST } from "./call-random.ts";
import type { InstanceMeter } from "./instance-meter.ts";
import { WASI_FUNCTIONS } from "./wasi-names.ts";

/** Thrown by `proc_exit`. */
export class WasiExit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`The plugin exited with code ${code}`);
    this.name = "WasiExit";
    this.code = code;
  }
}

const ERRNO = { success: 0, badf: 8, fault: 21, nosys: 52, spipe: 70 } as const;
const CLOCK_STEP_NS = 1_000n; // each reading of the clock moves it on by a microsecond
const LINE_BYTES = 8 << 10; // 8 KiB
/** Instructions that the host's work counts as, beside the call itself; part of the cost table (wasm-meter/costs.ts). */
const VECTOR_COST = 20;
const utf8 = new TextDecoder();

/**
 * WASI preview 1 without a filesystem, network, environment or arguments. The clock is virtual and random numbers come from the call's
 * input, so that a call does the same whenever and wherever it runs; sleeping moves the clock and takes no time. What is
 * written to standard output and standard error becomes log lines. Random numbers from here are no secrets.
 *
 * Source: WASI snapshot 01 (wasi_snapshot_preview1.witx).
 */
export class Wasi {
  readonly #log: (level: LogLevel, message: string) => void;
  readonly #partial = new Map<number, string>();
  #memory: WebAssembly.Memory | undefined;
  #clockNs = 0n;
  readonly #meter: InstanceMeter;
  readonly #random = new CallRandom();

  constructor(log: (level: LogLevel, message: string) => void, meter: InstanceMeter) {
    this.#log = log;
    this.#meter = meter;
  }

  /** Begins a call with this input. */
  begin(input: Uint8Array): void {
    this.#random.begin(input);
  }

  /** Every function of preview 1. Those that are not implemented answer that there is no such descriptor. */
  functions(): Record<string, (...args: never[]) => number> {
    const functions: Record<string, (...args: never[]) => number> = {};
    for (const name of WASI_FUNCTIONS) functions[name] = () => ERRNO.badf;
    return Object.assign(functions, this.#implemented());
  }

  /** The memory of the instance, known only once it exists. */
  attach(memory: WebAssembly.Memory | undefined): void {
    this.#memory = memory;
  }

  /** Logs what was written after the last end of line. */
  flush(): void {
    // A map that is cleared makes a new table even when it was empty, and that of an old map lies in V8's old generation.
    if (this.#partial.size === 0) return;
    for (const [fd, line] of this.#partial) this.#line(fd, line);
    this.#partial.clear();
  }

  #implemented(): Record<string, (...args: never[]) => number> {
    const none = (count: number, size: number): number => {
      this.#view().setUint32(count, 0, true);
      this.#view().setUint32(size, 0, true);
      return ERRNO.success;
    };
    return {
      args_get: () => ERRNO.success,
      args_sizes_get: none,
      environ_get: () => ERRNO.success,
      environ_sizes_get: none,
      clock_res_get: (_id: number, result: number) => this.#time(result, CLOCK_STEP_NS),
      clock_time_get: (_id: number, _precision: bigint, result: number) =>
        this.#time(result, this.#clockNs += CLOCK_STEP_NS),
      fd_close: () => ERRNO.success,
      fd_fdstat_get: (fd: number, stat: number) => this.#describe(fd, stat),
      fd_fdstat_set_flags: () => ERRNO.success,
      fd_read: (fd: number, _vectors: number, _count: number, read: number) => this.#read(fd, read),
      fd_seek: (fd: number) => fd <= 2 ? ERRNO.spipe : ERRNO.badf,
      fd_write: (fd: number, vectors: number, count: number, written: number) =>
        this.#write(fd, vectors, count, written),
      poll_oneoff: (subscriptions: number, events: number, count: number, written: number) =>
        this.#poll(subscriptions, { events, count, written }),
      proc_exit: (code: number) => {
        throw new WasiExit(code);
      },
      proc_raise: () => ERRNO.nosys,
      random_get: (at: number, length: number) => this.#fillRandom(at, length),
      sched_yield: () => ERRNO.success,
    } satisfies Record<string, (...args: never[]) => number>;
  }

  #view(): DataView {
    // A program that asks WASI for anything has a memory to be answered in.
    return new DataView(this.#memory!.buffer);
  }

  #time(result: number, value: bigint): number {
    this.#view().setBigUint64(result >>> 0, value, true);
    return ERRNO.success;
  }

  /** The three standard streams look like terminals, all other descriptors do not exist. */
  #describe(fd: number, stat: number): number {
    if (fd < 0 || fd > 2) return ERRNO.badf;
    const view = this.#view();
    const at = stat >>> 0;
    for (let i = 0; i < 24; i += 8) view.setBigUint64(at + i, 0n, true);
    view.setUint8(at, 2); // character device
    view.setBigUint64(at + 8, fd === 0 ? 2n : 64n, true); // the right to read, or to write
    return ERRNO.success;
  }

  #read(fd: number, read: number): number {
    if (fd !== 0) return ERRNO.badf;
    this.#view().setUint32(read >>> 0, 0, true);
    return ERRNO.success;
  }

  #write(fd: number, vectors: number, count: number, written: number): number {
    if (fd !== 1 && fd !== 2) return ERRNO.badf;
    const view = this.#view();
    let total = 0;
    this.#meter.charge((count >>> 0) * VECTOR_COST);
    for (let i = 0; i < count; i++) {
      const at = view.getUint32((vectors >>> 0) + i * 8, true);
      const length = view.getUint32((vectors >>> 0) + i * 8 + 4, true);
      const end = Math.min(at + length, view.byteLength);
      // Long texts are cut: the log keeps little of a line, and a plugin must not make the host build gigabytes of text.
      this.#append(fd, utf8.decode(new Uint8Array(view.buffer, at, Math.min(Math.max(end - at, 0), LINE_BYTES))));
      total += length;
      this.#meter.charge(Math.min(length, LINE_BYTES) / 8);
    }
    view.setUint32(written >>> 0, total, true);
    return ERRNO.success;
  }

  #append(fd: number, text: string): void {
    const lines = ((this.#partial.get(fd) ?? "") + text).split("\n");
    const rest = lines.pop() ?? "";
    for (const line of lines) this.#line(fd, line);
    this.#partial.set(fd, rest.slice(0, LINE_BYTES));
  }

  #line(fd: number, line: string): void {
    if (line !== "") this.#log(fd === 1 ? "info" : "warn", line);
  }

  /** Answers each subscription at once; a wait for the clock moves the clock to its end. */
  #poll(subscriptions: number, out: { events: number; count: number; written: number }): number {
    const view = this.#view();
    this.#meter.charge((out.count >>> 0) * VECTOR_COST);
    let until = this.#clockNs;
    for (let i = 0; i < out.count; i++) {
      const from = (subscriptions >>> 0) + i * 48;
      const to = (out.events >>> 0) + i * 32;
      const type = view.getUint8(from + 8);
      if (type === 0) {
        const timeout = view.getBigUint64(from + 24, true);
        const absolute = (view.getUint16(from + 40, true) & 1) !== 0;
        const end = absolute ? timeout : this.#clockNs + timeout;
        if (end > until) until = end;
      }
      for (let k = 0; k < 32; k += 8) view.setBigUint64(to + k, 0n, true);
      view.setBigUint64(to, view.getBigUint64(from, true), true);
      view.setUint16(to + 8, type === 0 ? ERRNO.success : ERRNO.badf, true);
      view.setUint8(to + 10, type);
    }
    this.#clockNs = BigInt.asUintN(63, until);
    view.setUint32(out.written >>> 0, out.count, true);
    return ERRNO.success;
  }

  #fillRandom(at: number, length: number): number {
    const memory = this.#memory!.buffer;
    if ((at >>> 0) + (length >>> 0) > memory.byteLength) return ERRNO.fault;
    this.#meter.charge((length >>> 0) * RANDOM_BYTE_COST);
    this.#random.fill(new Uint8Array(memory, at >>> 0, length >>> 0));
    return ERRNO.success;
  }
}
