// Serves functions to a Velas Sphere node over gRPC, on Node and Deno. Copy it with your plugin; docs/plugins.md of the node says what it
// does and why.
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http2";
import process from "node:process";
import { Code, ConnectError, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus } from "./gen/health_pb.js";
import { type ExecuteRequest, LogLevel, PluginService } from "./gen/plugin_pb.js";

const PIECE_BYTES = 1 << 20; // 1 MiB; gRPC takes messages of up to 4
const GRACE_MS = 4000; // the node kills after five seconds
const LEVELS = {
  trace: LogLevel.TRACE,
  debug: LogLevel.DEBUG,
  info: LogLevel.INFO,
  warn: LogLevel.WARN,
  error: LogLevel.ERROR,
} as const;

/** One run of a function. */
export interface Call {
  readonly contentType: string;
  /** Aborts when nobody waits for the result any more: stop then. */
  readonly signal: AbortSignal;
  /** The input, in pieces as they come. */
  readonly input: AsyncIterable<Uint8Array>;
  /** The whole input as UTF-8 text. Throws when it is none. */
  text(): Promise<string>;
  /** Adds a line to the task's log. It goes out as soon as the function waits for something. */
  log(message: string, level?: keyof typeof LEVELS): void;
  /** Says how far the function is, from 0 to 1. */
  progress(fraction: number, message?: string): void;
  /** Adds to the time that the function worked on the GPU. Only a plugin with `gpu` is paid for it. */
  usedGpu(seconds: number): void;
}

/** A function that tasks can name. It gives its output whole or in pieces; what it throws is its task's failure. */
export interface PluginFunction {
  readonly description?: string;
  readonly inputType?: string;
  readonly outputType?: string;
  run(call: Call): Promise<Uint8Array | string> | AsyncIterable<Uint8Array>;
}

export interface Plugin {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** Whether it works on the GPU: the node then executes one function at a time of all plugins that do. */
  readonly gpu?: boolean;
  readonly functions: Readonly<Record<string, PluginFunction>>;
}

async function* chunks(requests: AsyncIterator<ExecuteRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    const { message } = next.value;
    if (message.case === "chunk") yield message.value;
  }
}

async function textOf(input: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  try {
    for await (const piece of input) text += decoder.decode(piece, { stream: true });
    return text + decoder.decode();
  } catch (cause) {
    throw cause instanceof TypeError ? new Error("The input is not UTF-8 text", { cause }) : cause;
  }
}

function routes(plugin: Plugin): (router: ConnectRouter) => void {
  const described = {
    name: plugin.name,
    version: plugin.version,
    description: plugin.description,
    gpu: plugin.gpu ?? false,
    functions: Object.entries(plugin.functions).map(([name, { description = "", inputType = "", outputType = "" }]) => (
      { name, description, inputContentType: inputType, outputContentType: outputType }
    )),
  };
  return (router) => {
    router.service(Health, { check: () => ({ status: HealthCheckResponse_ServingStatus.SERVING }) });
    router.service(PluginService, {
      describe: () => described,
      cancel: () => ({}), // gRPC has canceled the call itself
      async *execute(stream, { signal }) {
        const requests = stream[Symbol.asyncIterator]();
        const first = await requests.next();
        if (first.done === true || first.value.message.case !== "start") {
          throw new ConnectError("The first message must be start", Code.InvalidArgument);
        }
        const { function: name, contentType } = first.value.message.value;
        const fn = Object.hasOwn(plugin.functions, name) ? plugin.functions[name] : undefined;
        if (fn === undefined) throw new ConnectError(`There is no function "${name}"`, Code.NotFound);
        const input = chunks(requests);
        const said: { case: "log" | "progress"; value: object }[] = [];
        let wake = () => {};
        const say = (message: typeof said[number]) => {
          said.push(message);
          wake();
        };
        let gpuMicros = 0;
        const call: Call = {
          contentType,
          signal,
          input,
          text: () => textOf(input),
          usedGpu: (seconds) => void (gpuMicros += Math.max(0, Math.round(seconds * 1e6))),
          log: (message, level = "info") => say({ case: "log", value: { level: LEVELS[level], message } }),
          progress: (fraction, message = "") => say({ case: "progress", value: { fraction, message } }),
        };
        const output = pieces(() => fn.run(call));
        const ask = () => {
          const piece = output.next();
          piece.catch(() => {}); // when the call ends before, nobody else hears of its failure
          return piece;
        };
        try {
          for (let piece = ask();;) {
            // Whichever is first: the next piece, or something that the function says meanwhile.
            const woken = new Promise<undefined>((resolve) => wake = () => resolve(undefined));
            if (said.length > 0) wake();
            const next = await Promise.race([piece, woken]);
            for (const message of said.splice(0)) yield { message } as never;
            if (next === undefined) continue;
            if (next.done === true) break;
            piece = ask();
            for (let at = 0; at < next.value.length; at += PIECE_BYTES) {
              const value = next.value.subarray(at, at + PIECE_BYTES) as Uint8Array<ArrayBuffer>;
              yield { message: { case: "chunk", value } } as const;
            }
          }
        } catch (cause) {
          for (const message of said.splice(0)) yield { message } as never;
          throw new ConnectError(cause instanceof Error ? cause.message : String(cause), Code.Unknown);
        } finally {
          output.return(undefined).catch(() => {}); // not awaited: a function that does not end must not hold the call
        }
        const result = { contentType: fn.outputType ?? "", gpuMicros: BigInt(gpuMicros) };
        yield { message: { case: "result", value: result } } as const;
      },
    });
  };
}

async function* pieces(run: () => ReturnType<PluginFunction["run"]>): AsyncGenerator<Uint8Array, undefined> {
  const output = run();
  if (Symbol.asyncIterator in output) {
    yield* output;
  } else {
    const whole = await output;
    yield typeof whole === "string" ? new TextEncoder().encode(whole) : whole;
  }
  return undefined;
}

function onlyWith(secret: string): Interceptor {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = digest(secret);
  return (next) => (request) => {
    if (timingSafeEqual(digest(request.header.get("velas-plugin-secret") ?? ""), expected)) return next(request);
    throw new ConnectError("The call does not carry this plugin's secret", Code.Unauthenticated);
  };
}

/** Serves until the node is gone: on its socket when a node runs the program, else on the port in the arguments, of loopback. */
export function serve(plugin: Plugin): void {
  const socket = process.env["VELAS_SPHERE_PLUGIN_SOCKET"] ?? "";
  const secret = process.env["VELAS_SPHERE_PLUGIN_SECRET"] ?? "";
  if (socket !== "" && secret === "") throw new Error("VELAS_SPHERE_PLUGIN_SOCKET is set without VELAS_SPHERE_PLUGIN_SECRET");
  const interceptors = socket === "" ? [] : [onlyWith(secret)];
  const server = createServer(connectNodeAdapter({ routes: routes(plugin), interceptors }));
  const stop = () => {
    server.close(() => process.exit(0));
    setTimeout(() => process.exit(0), GRACE_MS).unref();
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  const port = Number(process.argv[2] ?? 8082);
  const started = () => console.log(`${plugin.name} ${plugin.version} serves on ${socket || `127.0.0.1:${port}`}`);
  if (socket === "") {
    server.listen({ host: "127.0.0.1", port }, started);
    return;
  }
  server.listen({ path: socket }, started);
  process.stdin.once("end", stop).once("error", stop).resume(); // it ends when the node does
}
