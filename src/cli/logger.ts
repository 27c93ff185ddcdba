import process from "node:process";
import pino from "pino";
import type { Log, LogFields } from "../core/mod.ts";
import { formatDuration } from "../config/mod.ts";
import { type Colors, createScreen, printable } from "./terminal.ts";

export interface LoggerOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "silent";
  readonly format: "auto" | "json" | "pretty";
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where lines go, standard error by default; each write is one line with its newline. */
  readonly write?: (line: string) => void;
}

/** A log that can be asked to write out what it holds. */
export interface Logger extends Log {
  flush(): void;
  /** Changes the least serious level that is written, of its children too. */
  setLevel(level: LoggerOptions["level"]): void;
}

/** Names of fields whose values are never written, whatever their case, at any depth. */
const SECRET_NAME = /passphrase|password|secret|token|authorization|cookie|private_?key/i;
const REDACTED = "(secret)";
const MAX_DEPTH = 6;
const MAX_TEXT = 8192; // characters of one value

/**
 * The node's log on standard error: JSON lines (`time`, `level`, `msg`, and the fields), or on a terminal lines for people. Values of
 * fields that are named like secrets are replaced, errors become `{type, code, message, stack, cause}`, and control characters from
 * outside cannot reach a terminal. Written at once and in order, so that nothing is lost when the process dies.
 */
export function createLogger(options: LoggerOptions): Logger {
  const pretty = options.format === "pretty" || (options.format === "auto" && process.stderr.isTTY === true);
  const destination = options.write === undefined ? stderrDestination() : { write: options.write, flushSync() {} };
  const { colors } = createScreen(process.stderr, options.env);
  const target = {
    write: (line: string) => destination.write(pretty ? prettyLine(line, colors) : escapedLine(line)),
  };
  const threshold = { level: options.level };
  const logger = pino({
    level: "debug",
    base: null,
    messageKey: "msg",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  }, target);
  return asLog(logger, { threshold, flush: () => destination.flushSync() });
}

/** Standard error, whose reader may go away without the node going with it. */
function stderrDestination(): { write(line: string): void; flushSync(): void } {
  const stream = pino.destination({ fd: 2, sync: true });
  stream.on("error", () => {}); // EPIPE: nobody reads the log
  return { write: (line) => void stream.write(line), flushSync: () => stream.flushSync() };
}

const SERIOUSNESS = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;

/** What a log and its children share. */
interface Shared {
  /** pino's children keep the level that they were made with, so it is kept here. */
  readonly threshold: { level: LoggerOptions["level"] };
  readonly flush: () => void;
}

function asLog(logger: pino.Logger, shared: Shared): Logger {
  const { threshold, flush } = shared;
  const at = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: LogFields): void => {
    if (SERIOUSNESS[level] < SERIOUSNESS[threshold.level]) return;
    if (fields === undefined) logger[level](message);
    else logger[level](cleanFields(fields), message);
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => asLog(logger.child(cleanFields(fields)), shared),
    flush,
    setLevel: (level) => void (threshold.level = level),
  };
}

/** Names that pino gives its own meaning, and which fields must not take. */
const TAKEN = new Set(["level", "time", "msg"]);

function cleanFields(fields: LogFields): Record<string, unknown> {
  const cleaned: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    cleaned[TAKEN.has(name) ? `${name}_` : name] = SECRET_NAME.test(name) ? REDACTED : clean(value, 0);
  }
  return cleaned;
}

/** A copy that JSON can carry, without secrets, of bounded depth and size. */
function clean(value: unknown, depth: number): unknown {
  if (typeof value === "string") return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}...` : value;
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (depth >= MAX_DEPTH) return "...";
  if (value instanceof Error) return cleanError(value, depth);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => clean(item, depth + 1));
  const cleaned: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    cleaned[name] = SECRET_NAME.test(name) ? REDACTED : clean(item, depth + 1);
  }
  return cleaned;
}

function cleanError(error: Error, depth: number): Record<string, unknown> {
  const { code, data } = error as { code?: unknown; data?: unknown };
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    message: error.message,
    ...(data === undefined || Object.keys(data as object).length === 0 ? {} : { data: clean(data, depth + 1) }),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: clean(error.cause, depth + 1) }),
  };
}

const UNSAFE = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const EVERY_UNSAFE = new RegExp(UNSAFE, "g");

/**
 * The same JSON without what JSON may hold as it is and a terminal or a viewer of logs would act upon: C1 controls, which begin sequences as
 * ESC does, separators of lines, and what turns the direction of writing. C0 controls are escaped by JSON itself.
 */
function escapedLine(line: string): string {
  if (!UNSAFE.test(line)) return line;
  return line.replace(EVERY_UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** `12:34:56 INFO  Serving  rest=http://127.0.0.1:3000` from a JSON line. */
function prettyLine(line: string, { dim, red, yellow, green }: Colors): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const label = String(level).toUpperCase().padEnd(5);
  const paint = level === "error" ? red : level === "warn" ? yellow : level === "info" ? green : dim;
  const clock = new Date(String(time)).toTimeString().slice(0, 8);
  const parts = [dim(clock), paint(label), inLine(String(msg))];
  let stack = "";
  for (const [name, value] of Object.entries(fields)) {
    const fault = value as { stack?: unknown; message?: unknown } | null;
    if (typeof fault === "object" && typeof fault?.stack === "string") stack = `\n${dim(printable(fault.stack))}`;
    parts.push(`${dim(`${name}=`)}${shown(name, value)}`);
  }
  return `${parts.join(" ")}${stack}\n`;
}

function shown(name: string, value: unknown): string {
  if (typeof value === "number" && name.endsWith("Ms")) return formatDuration(Math.round(value));
  const message = (value as { message?: unknown } | null)?.message;
  const text = typeof value === "string" ? value : typeof message === "string" ? message : JSON.stringify(value);
  return inLine(text ?? "undefined");
}

/** Printable, without what could begin a line that another part of the node seems to have written. */
function inLine(text: string): string {
  return printable(text).replaceAll("\n", "␊").replaceAll("\t", "␉");
}
