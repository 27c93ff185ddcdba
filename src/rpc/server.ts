import type { RequestListener } from "node:http";
import type { DescService, Registry } from "@bufbuild/protobuf";
import {
  type Clock,
  type Log,
  type Metrics,
  type ModuleService,
  type NodeDescriber,
  NodeError,
  type NodeId,
  type PaymentDesk,
  type RateLimiter,
  type ShardService,
  type TaskService,
  type Tracer,
} from "../core/mod.ts";
import type { Authenticator } from "./authenticator.ts";
import type { AllowList } from "./allow-list.ts";
import { type CallerFinder, Calls } from "./calls.ts";
import { ConnectionCount } from "./connection-count.ts";
import { createConnectHandler } from "./connect-handler.ts";
import { withCors } from "./cors.ts";
import { createFastPath, type FastRoute } from "./fast-path.ts";
import { Listener, type ListenerLimits } from "./listener.ts";
import { callerFinder } from "./owner-access.ts";
import type { Route } from "./route.ts";
import { Fronts } from "./fronts/mod.ts";
import { assertRuntimeSupported } from "./runtime-check.ts";
import { fileRoutes, type FileRoutesOptions } from "./services/files.ts";
import { healthRoutes, type HealthSource } from "./services/health.ts";
import { legacyRoutes } from "./services/legacy.ts";
import { moduleRoutes } from "./services/modules.ts";
import { nodeRoutes } from "./services/node.ts";
import { paymentRoutes } from "./services/payments.ts";
import { reflectionRoutes } from "./services/reflection.ts";
import { storageRoutes } from "./services/storage.ts";
import { taskRoutes } from "./services/tasks.ts";

/** Bounds of a server. */
export interface RpcLimits extends ListenerLimits {
  /** Connections at once; more are closed at once. */
  readonly maxConnections: number;
  /** The largest message, in bytes. */
  readonly maxMessageBytes: number;
}

/** Bounds for a node on an ordinary machine. */
export const DEFAULT_RPC_LIMITS: RpcLimits = {
  maxMessageBytes: 16 << 20, // 16 MiB
  maxConcurrentStreams: 256,
  maxHeaderBytes: 16 << 10, // 16 KiB
  idleTimeoutMs: 300_000,
  requestTimeoutMs: 120_000,
  maxConnections: 4096,
  maxUnreadBytes: 256 << 10, // 256 KiB
};

/** What every server of routes needs. */
export interface RouteServerOptions {
  readonly health: HealthSource;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: RpcLimits;
  /** Certificate chain and key in PEM. With them the ports speak TLS only. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array };
  /** Types that messages may hold in a google.protobuf.Any; JSON needs them. The node's own messages hold none. */
  readonly types?: Registry;
  /** Finds out who signed a call; without one no call counts as signed. */
  readonly authenticator?: Pick<Authenticator, "identify">;
  /** Whether an unsigned call is from whom it says, the default, or from nobody, as it must be where calls cost money. */
  readonly believesClaims?: boolean;
  /** The node itself: no unsigned call is from it, whatever it says. */
  readonly self?: NodeId;
  /** Refuses who calls too often; without one nobody does. */
  readonly limiter?: RateLimiter;
  /** The nodes that are served; without it everybody is. */
  readonly allow?: AllowList;
  /** Traces calls; without one none is. */
  readonly tracer?: Tracer | undefined;
  /** Which of the owner's tokens a call bears, where it matters. */
  readonly callerOf?: CallerFinder;
  /** Serves HTTP paths that are no RPC method, over HTTP/1.1 and HTTP/2. */
  readonly fallback?: RequestListener;
  /** Threads that take connections and HTTP/2 away from the main one; none by default. Node on Linux only. */
  readonly frontThreads?: number;
  /** Sites whose pages may call from a browser; none by default. */
  readonly allowedOrigins?: readonly string[];
}

export interface RpcServerOptions extends RouteServerOptions {
  readonly tasks: TaskService;
  readonly node: NodeDescriber;
  /** Without it the owner's programs cannot keep files over RPC. */
  readonly files?: FileRoutesOptions;
  /** Without it other nodes cannot keep shards here. */
  readonly storage?: ShardService;
  /** Without it nobody can bring modules here. */
  readonly modules?: ModuleService;
  /** Without it this node takes no money. */
  readonly payments?: PaymentDesk;
}

/** A server of RPC methods. */
export interface RpcServer {
  /**
   * Opens a port, or a Unix socket; may be called for several. Port 0 lets the system choose. Throws `address_in_use`, or `invalid_argument` for an
   * address that this machine does not have.
   */
  listen(
    address: { readonly host: string; readonly port: number } | { readonly path: string },
  ): Promise<{ host: string; port: number }>;
  /** Serves another certificate to connections from now on; only for a server that was made with one. */
  setTls(tls: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array }): void;
  /**
   * Stops: closes the ports, tells clients to leave (GOAWAY), refuses new calls with `shutting_down`, ends watches at once, waits up to
   * `graceMs` for the other calls, aborts those that are left, and ends all connections. Never throws; a second call waits for the first.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** What the count of connections has for each thread. */
const COUNT_BYTES = 4;

/** How long answers to aborted calls may take to leave, in milliseconds. */
const FLUSH_MS = 250;

/**
 * Makes the server of a node: tasks, node description, the original's services, health and reflection, over gRPC, gRPC-Web and Connect,
 * HTTP/2 and HTTP/1.1 on each port. Throws `runtime_unsupported` where a peer could crash it.
 */
export function createRpcServer(options: RpcServerOptions): RpcServer {
  const routes = [
    ...taskRoutes(options.tasks),
    ...(options.modules === undefined ? [] : moduleRoutes(options.modules)),
    ...nodeRoutes(options.node),
    ...legacyRoutes(options.tasks),
    ...(options.files === undefined ? [] : fileRoutes(options.files)),
    ...(options.payments === undefined ? [] : paymentRoutes(options.payments)),
    ...(options.storage === undefined ? [] : storageRoutes(options.storage, options.clock)),
  ];
  const { files } = options;
  return createRouteServer(
    routes,
    files === undefined ? options : { ...options, callerOf: callerFinder(files.access) },
  );
}

/** Serves the given routes, and health and reflection for them. */
export function createRouteServer(routes: readonly Route[], options: RouteServerOptions): RpcServer {
  assertRuntimeSupported();
  const { limits, log } = options;
  const calls = new Calls({ ...options, requestTimeoutMs: limits.requestTimeoutMs });
  const { frontThreads = 0 } = options;
  const gauge = options.metrics.gauge("velas_rpc_connections", "Open connections to the RPC ports");
  const connectionMemory = new SharedArrayBuffer(COUNT_BYTES * (1 + frontThreads));
  const onConnections = () => gauge.set(connections.total);
  const connections = new ConnectionCount({
    max: limits.maxConnections,
    memory: connectionMemory,
    place: 0,
    onChange: onConnections,
  });
  let draining = false;
  const refusal = () =>
    draining
      ? new NodeError("shutting_down", "This node is shutting down: send the call to another, or again later")
      : undefined;

  let services: readonly DescService[] = [];
  const all = [
    ...routes,
    ...healthRoutes(options.health, () => services.map(({ typeName }) => typeName)),
    ...reflectionRoutes(() => services),
  ];
  services = [...new Set(all.map((route) => route.method.parent))];

  const listener = new Listener({
    limits,
    log,
    tls: options.tls,
    fastPath: createFastPath({
      calls,
      routes: all.filter((route): route is FastRoute =>
        route.kind === "unary" || route.bytes !== undefined || route.direct !== undefined
      ),
      maxMessageBytes: limits.maxMessageBytes,
      stallTimeoutMs: limits.idleTimeoutMs,
      refusal,
    }),
    handler: withCors(
      createConnectHandler({
        calls,
        routes: all,
        maxMessageBytes: limits.maxMessageBytes,
        stallTimeoutMs: limits.idleTimeoutMs,
        refusal,
        types: options.types,
        fallback: options.fallback,
      }),
      options.allowedOrigins ?? [],
    ),
    connections,
  });
  const fronts = frontThreads === 0 ? undefined : new Fronts({
    calls,
    limits,
    log,
    connections,
    connectionMemory,
    onConnections,
    refusal,
    count: frontThreads,
    tls: options.tls,
    maxMessageBytes: limits.maxMessageBytes,
    routes: all.filter((route) => route.kind === "unary"),
    adopt: (socket) => listener.adopt(socket),
  });

  let closing: Promise<void> | undefined;
  const close = async (graceMs: number) => {
    draining = true;
    const stopped = refusal()!;
    await fronts?.drain();
    listener.drain();
    calls.abort(stopped, ({ route }) => route.kind !== "unary" && route.endsOnDrain);
    if (!await calls.idle(graceMs)) {
      calls.abort(stopped);
      await calls.idle(FLUSH_MS);
    }
    await listener.flushed(FLUSH_MS);
    await fronts?.close();
    await listener.destroy();
    calls.deadlines.clear();
  };
  return {
    listen: (address) => fronts === undefined || "path" in address ? listener.listen(address) : fronts.listen(address),
    setTls: (keys) => {
      listener.setTls(keys);
      fronts?.setTls(keys);
    },
    close: ({ graceMs }) => closing ??= close(graceMs),
  };
}
