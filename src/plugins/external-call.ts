import { Buffer } from "node:buffer";
import {
  type ErrorCode,
  newUlid,
  NodeError,
  type PluginCall,
  type PluginFunction,
  type PluginOutcome,
} from "../core/mod.ts";
import { ExternalInput } from "./external-input.ts";
import { explainWire, type ExternalConnection, type GrpcStatus } from "./external-protocol.ts";
import { ExternalSink, tooMuchOutput } from "./external-sink.ts";

/** What a plugin may call its own failure; any other code that it names becomes `plugin_failed`. */
const PLUGIN_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "plugin_failed",
  "plugin_trapped",
  "plugin_unavailable",
  "invalid_argument",
  "memory_exceeded",
  "budget_exceeded",
  "input_too_large",
  "output_too_large",
  "deadline_exceeded",
  "overloaded",
]);

/**
 * What a status means that comes without a code of ours. The others say nothing that a requester could act on, or would be taken for the
 * node's own word (`not_found` for the task, `permission_denied` for the caller): they are `plugin_failed`.
 */
const STATUS_CODES: Readonly<Partial<Record<GrpcStatus, ErrorCode>>> = {
  INVALID_ARGUMENT: "invalid_argument",
  OUT_OF_RANGE: "invalid_argument",
  DEADLINE_EXCEEDED: "deadline_exceeded",
  RESOURCE_EXHAUSTED: "overloaded",
  UNAVAILABLE: "plugin_unavailable",
};
/** How gRPC's servers word that an input is over their own limit on messages, also as RESOURCE_EXHAUSTED. */
const OVER_MESSAGE_LIMIT = /message .*larger than|larger than .*max/i;

const CANCEL_TIMEOUT_MS = 1000;

export interface ExternalCallOptions {
  readonly connection: ExternalConnection;
  readonly protocol: "velas" | "original";
  readonly function: PluginFunction;
  /** Whether the call has the GPU; without it no time on it counts. */
  readonly hasGpu: boolean;
  /** Aborting stops the call; the reason is a NodeError. The call aborts it itself when time is over, and at its end. */
  readonly stop: AbortController;
  /** The largest input of the original protocol, whose calls carry it whole. */
  readonly maxInputBytes: number;
}

/**
 * Runs one function of an external plugin to its end, within the call's limits. Whatever ends the call early also resets its stream
 * and tells the plugin to stop, and does not wait for it.
 */
export async function callExternal(call: PluginCall, options: ExternalCallOptions): Promise<PluginOutcome> {
  const { stop } = options;
  const { timeoutMs } = call.limits;
  const onAbort = () => stop.abort(new NodeError("canceled", "The call was canceled"));
  if (call.signal.aborted) onAbort();
  else call.signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => stop.abort(timeIsOver(timeoutMs)), Math.min(timeoutMs, 0x7fffffff));
  const input = new ExternalInput(call.input, stop);
  const startedAt = performance.now();
  try {
    if (stop.signal.aborted) throw stop.signal.reason;
    const run = options.protocol === "velas" ? runVelas : runOriginal;
    const { output, outputBytes, contentType, gpuMicros } = await run(call, input, options);
    const wallMicros = Math.round((performance.now() - startedAt) * 1000);
    const usage = { wallMicros, inputBytes: input.sizeBytes, outputBytes, instructions: 0 };
    // Nothing works on the GPU for longer than it runs, whatever it says.
    const onGpu = options.hasGpu ? Math.min(gpuMicros, wallMicros) : 0;
    return {
      output,
      contentType: contentType || options.function.outputContentType || "application/octet-stream",
      usage: onGpu > 0 ? { ...usage, gpuMicros: onGpu } : usage,
    };
  } catch (reason) {
    if (input.failure !== undefined) throw input.failure.reason;
    if (stop.signal.aborted) throw stop.signal.reason;
    throw reason instanceof NodeError ? reason : explain(reason, call);
  } finally {
    clearTimeout(timer);
    call.signal.removeEventListener("abort", onAbort);
    if (!stop.signal.aborted) stop.abort(new NodeError("canceled", "The call is over"));
  }
}

interface Ran {
  readonly output: Uint8Array;
  readonly outputBytes: number;
  readonly contentType: string;
  readonly gpuMicros: number;
}

async function runVelas(call: PluginCall, input: ExternalInput, options: ExternalCallOptions): Promise<Ran> {
  const { connection, stop } = options;
  const { limits, contentType } = call;
  const id = newUlid(Date.now());
  const sink = new ExternalSink(call);
  const execution = { id, function: options.function.name, contentType, limits, input };
  try {
    await connection.execute(execution, { signal: stop.signal, take: (message) => sink.take(message) });
  } catch (reason) {
    // The reset of the stream says the same; this is for plugins whose framework does not tell them of it.
    connection.cancel(id, CANCEL_TIMEOUT_MS).catch(() => {});
    throw reason;
  }
  if (sink.result === undefined) {
    throw new NodeError("plugin_failed", "The plugin broke its protocol: it ended the call without a result");
  }
  const { result: resultType, gpuMicros } = sink;
  return { output: sink.output(), outputBytes: sink.outputBytes, contentType: resultType, gpuMicros };
}

async function runOriginal(call: PluginCall, input: ExternalInput, options: ExternalCallOptions): Promise<Ran> {
  const { connection, stop, maxInputBytes } = options;
  const text = await orAborted(input.text(maxInputBytes), stop.signal);
  const job = { id: newUlid(Date.now()), input: text, limits: call.limits };
  const output = Buffer.from(await connection.executeOriginal(job, stop.signal));
  const outputBytes = output.length;
  const { limits, onEvent, streamOutput } = call;
  if (outputBytes > limits.outputBytes) throw tooMuchOutput(limits.outputBytes, outputBytes);
  if (streamOutput !== true) return { output, outputBytes, contentType: "", gpuMicros: 0 };
  if (outputBytes > 0) await onEvent?.({ type: "chunk", bytes: output });
  return { output: Buffer.alloc(0), outputBytes, contentType: "", gpuMicros: 0 };
}

/** What a failed call means: the plugin's own error, or what became of the connection. */
function explain(reason: unknown, call: PluginCall): NodeError {
  const { kind, message, code, status, retryAfterMs } = explainWire(reason);
  const data = status === undefined ? {} : { data: { grpcStatus: status } };
  const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
  switch (kind) {
    case "plugin":
      if (code === "shutting_down") {
        return new NodeError("plugin_unavailable", message, { cause: reason, ...data, ...retry });
      }
      if (code !== undefined && PLUGIN_CODES.has(code)) {
        return new NodeError(code as ErrorCode, message, { cause: reason, ...data, ...retry });
      }
      return new NodeError(
        code === undefined ? codeOfStatus(status, message) : "plugin_failed",
        message || `The plugin failed without saying why${status === undefined ? "" : ` (${status})`}`,
        { cause: reason, ...data },
      );
    case "connection":
      return new NodeError("plugin_unavailable", `The connection to the plugin was lost: ${message}`, {
        cause: reason,
      });
    case "deadline":
      // A plugin that says so itself may mean another time than the task's.
      if (status === undefined || message === "") return timeIsOver(call.limits.timeoutMs);
      return new NodeError(
        "deadline_exceeded",
        `The plugin says that the time is over: ${message} (the task's limit is ${call.limits.timeoutMs} ms, limits.timeoutMs)`,
        { cause: reason, ...data },
      );
    case "too_large":
      return tooMuchOutput(call.limits.outputBytes);
    case "unserved":
    case "protocol":
      return new NodeError("plugin_failed", `The plugin broke its protocol: ${message}`, {
        cause: reason,
        ...data,
      });
  }
}

function codeOfStatus(status: GrpcStatus | undefined, message: string): ErrorCode {
  if (status === "RESOURCE_EXHAUSTED" && OVER_MESSAGE_LIMIT.test(message)) return "input_too_large";
  return status === undefined ? "plugin_failed" : STATUS_CODES[status] ?? "plugin_failed";
}

function timeIsOver(timeoutMs: number): NodeError {
  return new NodeError(
    "deadline_exceeded",
    `The plugin ran longer than the task's limit of ${timeoutMs} ms (limits.timeoutMs) and was stopped`,
    { data: { timeoutMs } },
  );
}

/** The promise, or the signal's reason if that comes first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
  });
}
