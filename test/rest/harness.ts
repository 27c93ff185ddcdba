import { connect } from "node:net";
import type { Socket } from "node:net";
import {
  AccessTokens,
  isEnd,
  type Log,
  type LogFields,
  mainToken,
  NodeError,
  type NodeInfo,
  type PluginInfo,
  type ShardRecord,
  type TaskEvent,
  type TaskRecord,
  type TaskRouter,
  type TaskService,
  type TaskSpec,
} from "../../src/core/mod.ts";
import type { CallContext } from "../../src/core/mod.ts";
import {
  createMetrics,
  createRestApp,
  createRestServer,
  createTaskFastPath,
  DEFAULT_REST_LIMITS,
} from "../../src/rest/mod.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import type { PluginAdmin, RestApp, RestAppOptions, RestLimits } from "../../src/rest/mod.ts";
import { FakePeers } from "./fake-peers.ts";

export const NODE_ID = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
export const NOW = Date.UTC(2026, 10, 23, 20, 38, 16);
export const SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

export const NODE_INFO: NodeInfo = {
  nodeId: NODE_ID,
  name: 'Test <node> & "friends"',
  version: "0.1.0",
  plugins: [pluginInfo()],
  issuedAt: NOW,
  limits: { inputBytes: 1 << 24, outputBytes: 1 << 24, memoryBytes: 1 << 28, timeoutMs: 60_000 },
};

export function pluginInfo(change: Partial<PluginInfo> = {}): PluginInfo {
  return {
    name: "demo",
    version: "1.0.0",
    sha256: SHA256,
    runtime: "wasm",
    functions: [{
      name: "greet",
      inputContentType: "text/plain",
      outputContentType: "text/plain",
      description: "Greets.",
    }],
    description: "Says world to hello.",
    isDefault: true,
    enabled: true,
    ready: true,
    sizeBytes: 16_384,
    ...change,
  };
}

export function taskRecord(change: Partial<TaskRecord> = {}): TaskRecord {
  return {
    id: "task-1",
    requester: NODE_ID,
    plugin: "demo",
    resolvedPlugin: "demo@1.0.0",
    pluginSha256: SHA256,
    function: "greet",
    contentType: "text/plain",
    limits: { timeoutMs: 1000, memoryBytes: 1 << 26, outputBytes: 1 << 20 },
    priority: 0,
    state: "queued",
    createdAt: NOW,
    attempts: 0,
    inputSha256: SHA256,
    ...change,
  };
}

export const USAGE = { wallMicros: 412, inputBytes: 5, outputBytes: 5, instructions: 0 };

/** Two shards that the node keeps for another. */
export const SHARDS: readonly ShardRecord[] = ["a", "b"].map((digit, place) => ({
  id: digit.repeat(32),
  owner: NODE_ID,
  sizeBytes: 1024 * (place + 1),
  root: SHA256,
  storedAt: NOW,
  expiresAt: NOW + 86_400_000,
  graceMs: 3_600_000,
}));

/** One call that reached the fake service. */
export interface Call {
  readonly method: keyof TaskService;
  readonly target: string;
  readonly args: readonly unknown[];
  readonly ctx: CallContext;
}

/**
 * A task service whose answers a test scripts: each method may be replaced. By default it greets as the demo plugin does.
 * It stands in for the provider where that cannot be made to fail, stall or babble at will.
 */
export class FakeTasks implements TaskRouter {
  readonly calls: Call[] = [];
  script: Partial<TaskService> = {};

  at(target: string): TaskService {
    if (target === "no-port") {
      throw new NodeError("invalid_argument", `The target "${target}" has no port; write it as host:port`, {
        data: { target },
      });
    }
    const call = <T>(method: keyof TaskService, args: readonly unknown[], ctx: CallContext, run: () => T): T => {
      this.calls.push({ method, target, args, ctx });
      return run();
    };
    const { script } = this;
    return {
      run: (spec, ctx) => call("run", [spec], ctx, () => script.run?.(spec, ctx) ?? greet(spec)),
      runStream: (spec, input, ctx) =>
        call("runStream", [spec], ctx, () => script.runStream?.(spec, input, ctx) ?? echo(spec, input)),
      submit: (spec, ctx) =>
        call(
          "submit",
          [spec],
          ctx,
          () => script.submit?.(spec, ctx) ?? Promise.resolve(taskRecord({ id: spec.id || "drawn" })),
        ),
      get: (id, ctx) => call("get", [id], ctx, () => script.get?.(id, ctx) ?? known(id)),
      output: (id, ctx) =>
        call("output", [id], ctx, () =>
          script.output?.(id, ctx) ??
            Promise.resolve({ id, output: bytes("world"), contentType: "text/plain", usage: USAGE, replayed: true })),
      list: (query, ctx) =>
        call(
          "list",
          [query],
          ctx,
          () => script.list?.(query, ctx) ?? Promise.resolve({ tasks: [taskRecord()], nextPageToken: "next" }),
        ),
      watch: (id, ctx) => call("watch", [id], ctx, () => script.watch?.(id, ctx) ?? finish(id)),
      cancel: (id, ctx) =>
        call(
          "cancel",
          [id],
          ctx,
          () => script.cancel?.(id, ctx) ?? Promise.resolve(taskRecord({ id, state: "canceled" })),
        ),
    };
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

function greet(spec: TaskSpec) {
  const input = text(spec.input);
  const output = input === "hello" ? "world" : `hello, ${input}`;
  return Promise.resolve({
    id: spec.id || "drawn",
    output: bytes(output),
    contentType: "text/plain",
    usage: USAGE,
    replayed: false,
  });
}

async function* echo(spec: TaskSpec, input: AsyncIterable<Uint8Array>): AsyncIterable<TaskEvent> {
  const id = spec.id || "drawn";
  yield { type: "state", task: taskRecord({ id, state: "running", outputContentType: "text/x-echo" }) };
  for await (const chunk of input) yield { type: "chunk", bytes: chunk };
  yield { type: "state", task: taskRecord({ id, state: "succeeded" }) };
}

async function* finish(id: string): AsyncIterable<TaskEvent> {
  yield { type: "state", task: taskRecord({ id, state: "running" }) };
  yield { type: "log", level: "info", message: "half way\nthrough", at: NOW };
  yield { type: "progress", fraction: 0.5, message: "", at: NOW };
  yield { type: "chunk", bytes: new Uint8Array([255, 0]) };
  yield { type: "state", task: taskRecord({ id, state: "succeeded", finishedAt: NOW }) };
}

function known(id: string): Promise<TaskRecord> {
  if (id.startsWith("missing")) {
    return Promise.reject(new NodeError("not_found", `There is no task "${id}"`, { data: { id } }));
  }
  return Promise.resolve(taskRecord({ id }));
}

/** Plugins in memory. */
export class FakePlugins implements PluginAdmin {
  readonly installed: { bytes?: number; url?: string; sha256?: string | undefined }[] = [];
  plugins = [pluginInfo()];

  list() {
    return this.plugins;
  }
  get(ref: string) {
    const found = this.plugins.find(({ name, version }) => ref === name || ref === `${name}@${version}`);
    if (found === undefined) {
      throw new NodeError("plugin_not_found", `No plugin "${ref}" here`, { data: { plugin: ref } });
    }
    return found;
  }
  installBytes(module: Uint8Array, { sha256 }: { sha256?: string }) {
    this.installed.push({ bytes: module.length, sha256 });
    if (module[0] !== 0) return Promise.reject(new NodeError("module_invalid", "These bytes are no WASM module"));
    return Promise.resolve(pluginInfo({ name: "fresh" }));
  }
  installUrl(url: string, { sha256 }: { sha256: string }) {
    this.installed.push({ url, sha256 });
    return Promise.resolve(pluginInfo({ name: "fetched" }));
  }
  setEnabled(ref: string, enabled: boolean) {
    return Promise.resolve({ ...this.get(ref), enabled });
  }
  remove(ref: string) {
    this.get(ref);
    this.plugins = [];
    return Promise.resolve();
  }
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** A log that a test can read. */
export function recordingLog(): Log & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (message: string, fields?: LogFields) => void lines.push({ level, message, fields });
  // Every request has a line at debug.
  const log = { lines, debug() {}, info: at("info"), warn: at("warn"), error: at("error"), child: () => log };
  return log;
}

export interface Served {
  readonly url: string;
  readonly port: number;
  readonly app: RestApp;
  readonly tasks: FakeTasks;
  readonly plugins: FakePlugins;
  readonly files: MemoryFiles;
  readonly log: ReturnType<typeof recordingLog>;
  readonly options: RestAppOptions;
  readonly stopping: AbortController;
  close(drainMs?: number): Promise<void>;
}

export type ServeOptions = Partial<Omit<RestAppOptions, "limits">> & {
  /** The one token that may do everything. */
  readonly token?: string;
  readonly limits?: Partial<RestLimits>;
  /** False for an application alone, without the fast path before it. */
  readonly fastPath?: boolean;
};

/** Serves the REST application on a free port of 127.0.0.1 until the test ends. */
export async function serve(
  t: { after(f: () => unknown): void },
  { token, ...change }: ServeOptions = {},
): Promise<Served> {
  const tasks = new FakeTasks();
  const plugins = new FakePlugins();
  const files = new MemoryFiles(() => NOW);
  const log = recordingLog();
  const stopping = new AbortController();
  const limits = { ...DEFAULT_REST_LIMITS, ...change.limits };
  const options: RestAppOptions = {
    tasks,
    files: { service: files, maxFileBytes: 1 << 26 },
    shards: {
      usage: () => ({ shards: 2, bytes: 3072, uploadBytes: 0, quotaBytes: 10_240, freeBytes: 7168 }),
      list: (after, limit) =>
        Promise.resolve(SHARDS.filter(({ id }) => after === undefined || id > after.id).slice(0, limit)),
    },
    plugins,
    node: { describe: () => NODE_INFO, sign: () => new Uint8Array(65) },
    peers: {
      info: (target) =>
        target === "127.0.0.1:1"
          ? Promise.reject(new NodeError("target_unreachable", `Cannot reach ${target}`, { data: { target } }))
          : Promise.resolve({ ...NODE_INFO, name: target }),
    },
    peerBook: new FakePeers(),
    health: { live: () => true, ready: () => ({ ready: true, reasons: [] }) },
    metrics: createMetrics({ processMetrics: false }),
    requester: NODE_ID,
    log,
    clock: { now: () => NOW },
    stopping: stopping.signal,
    ...(token !== undefined && { tokens: new AccessTokens([mainToken(token)]) }),
    ...change,
    limits,
  };
  const app = createRestApp(options);
  const fastPath = change.fastPath === false ? {} : { fastPath: createTaskFastPath(options) };
  const server = createRestServer({ app, ...fastPath, host: "127.0.0.1", port: 0, limits, log });
  const { port } = await server.listen();
  const close = (drainMs = 0) => server.close({ drainMs });
  t.after(() => close());
  return { url: `http://127.0.0.1:${port}`, port, app, tasks, plugins, files, log, options, stopping, close };
}

/** A connection on which a test writes bytes as it likes. */
export class Wire {
  readonly socket: Socket;
  readonly #closed: Promise<void>;
  #received = "";
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (piece: string) => {
      this.#received += piece;
      this.#wake();
    });
    socket.on("error", () => {});
    this.#closed = new Promise((resolve) => socket.on("close", () => resolve()));
    void this.#closed.then(() => this.#wake());
  }

  static async open(t: { after(f: () => unknown): void }, port: number): Promise<Wire> {
    const socket = connect({ port, host: "127.0.0.1" });
    t.after(() => socket.destroy());
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Wire(socket);
  }

  /** Everything received so far, a character a byte. */
  get received(): string {
    return this.#received;
  }

  send(data: string | Uint8Array): this {
    this.socket.write(data);
    return this;
  }

  /** Waits until what was received matches, or the connection closes; returns it. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#received) && !this.socket.destroyed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#received;
  }

  /** Waits until the other side closes and returns all that came. */
  async end(): Promise<string> {
    await this.#closed;
    return this.#received;
  }
}

/** A promise that the test settles. */
export function gate<T = void>() {
  return Promise.withResolvers<T>();
}

/** Waits for the signal of a call to abort and returns its reason. */
export function aborted(signal: AbortSignal): Promise<NodeError> {
  if (signal.aborted) return Promise.resolve(signal.reason);
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason)));
}

export async function postJson(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

export { isEnd };
