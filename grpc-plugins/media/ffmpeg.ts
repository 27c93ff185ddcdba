import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import process from "node:process";
import type { Readable, Writable } from "node:stream";

/** What one run of ffmpeg or ffprobe needs. */
export interface Run {
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** What it reads from standard input; without it standard input is empty. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Told of each report of ffmpeg's own `-progress`. */
  readonly onProgress?: (report: Report) => void;
}

/** How far ffmpeg is. */
export interface Report {
  /** Of the output, in seconds. */
  readonly seconds: number;
  readonly frame: number;
  /** Times real time, as ffmpeg writes it: `3.1x`. */
  readonly speed: string;
}

/** Puts ffmpeg's progress on standard error, between its messages. (A descriptor of its own is not to be had on every runtime.) */
export const PROGRESS = ["-nostdin", "-loglevel", "error", "-nostats", "-progress", "pipe:2"] as const;

/** What programs get of the plugin's own environment: the rest, in which secrets may be, is not for what decodes untrusted bytes. */
const INHERITED = ["PATH", "LD_LIBRARY_PATH", "SystemRoot"];

/** Of what a program complained, the end that is kept, in characters. */
const MAX_COMPLAINT = 2000;
const REPORT_LINE = /^([a-z_0-9]+)=(.*)$/;

/**
 * Runs a program of FFmpeg and gives what it writes to standard output. Ends with its success; throws an Error with its own words when
 * it fails, and the reason of the signal when that aborts. The program never outlives the iteration.
 */
export async function* runFfmpeg(program: string, run: Run): AsyncGenerator<Uint8Array, void> {
  run.signal.throwIfAborted();
  const inherited = INHERITED.flatMap((name) => process.env[name] === undefined ? [] : [[name, process.env[name]]]);
  const env = { ...Object.fromEntries(inherited), ...run.env };
  const child = spawn(program, [...run.args], { stdio: ["pipe", "pipe", "pipe"], env });
  const kill = () => void child.kill("SIGKILL");
  run.signal.addEventListener("abort", kill, { once: true });
  const listener = new Complaints(run.onProgress);
  child.stderr.on("data", (chunk: Buffer) => listener.hear(chunk.toString()));
  const ended = new Promise<string | undefined>((resolve) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      resolve(
        error.code === "ENOENT"
          ? `${program} is not installed on the plugin's machine (Debian: apt install ffmpeg)`
          : error.message,
      ));
    child.on(
      "close",
      (code, signal) => resolve(code === 0 ? undefined : listener.said || `it ended with ${code ?? signal}`),
    );
  });
  const feeding = feed(child.stdin, run.input).catch((error: unknown) => {
    kill();
    throw error;
  });
  feeding.catch(() => {});
  try {
    for await (const chunk of child.stdout as Readable) yield chunk as Uint8Array;
    const failure = await ended;
    run.signal.throwIfAborted();
    if (failure !== undefined) {
      // An input that broke off is the reason of what ffmpeg then says.
      await Promise.race([feeding, Promise.resolve()]);
      throw new Error(failure);
    }
  } finally {
    run.signal.removeEventListener("abort", kill);
    kill();
    await ended;
  }
}

/** The most that a short run may write, in bytes: a picture, or the description of media with very many streams. */
const MAX_SHORT_BYTES = 64 << 20; // 64 MiB

/** All that a short run writes. Throws an Error when it is more than such a run has to say. */
export async function readFfmpeg(program: string, run: Run): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of runFfmpeg(program, run)) {
    length += part.length;
    if (length > MAX_SHORT_BYTES) throw new Error(`${program} wrote more than ${MAX_SHORT_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** Writes the input as fast as it is read. A program that has seen enough closes its end, which is no failure. */
async function feed(stdin: Writable, input: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  let closed = false;
  let wake = () => {};
  const close = () => {
    closed = true;
    wake();
  };
  stdin.on("error", close).on("close", close).on("drain", () => wake());
  if (input !== undefined) {
    for await (const piece of input) {
      if (closed) return;
      if (!stdin.write(piece)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (closed || !stdin.writableNeedDrain) resolve();
        });
      }
    }
  }
  if (!closed) stdin.end();
}

/** Tells progress reports from complaints, line by line. */
class Complaints {
  readonly #onProgress: ((report: Report) => void) | undefined;
  readonly #report = new Map<string, string>();
  #rest = "";
  #said = "";

  constructor(onProgress: ((report: Report) => void) | undefined) {
    this.#onProgress = onProgress;
  }

  get said(): string {
    return `${this.#said}${this.#rest}`.trim();
  }

  hear(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!.slice(-MAX_COMPLAINT);
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    const match = this.#onProgress === undefined ? null : REPORT_LINE.exec(line);
    if (match === null) {
      this.#said = `${this.#said}${line}\n`.slice(-MAX_COMPLAINT);
      return;
    }
    const [, key, value] = match;
    if (key !== "progress") {
      if (this.#report.size < 100) this.#report.set(key!, value!.trim());
      return;
    }
    const seconds = Number(this.#report.get("out_time_us")) / 1e6;
    this.#onProgress!({
      seconds: Number.isFinite(seconds) ? Math.max(0, seconds) : 0,
      frame: Number(this.#report.get("frame") ?? 0),
      speed: this.#report.get("speed") ?? "",
    });
  }
}
