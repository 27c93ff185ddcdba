/**
 * A front: a thread that has the connections of the RPC ports. It speaks TLS and HTTP/2, hands plain unary gRPC to the main thread in batches of
 * records, and passes everything else on to it over a Unix socket.
 */
import type { ServerHttp2Session } from "node:http2";
import { parentPort, workerData } from "node:worker_threads";
import { collectConnectionGarbage, keepTicksFast, silentLog } from "../../core/mod.ts";
import { ConnectionCount } from "../connection-count.ts";
import { Listener } from "../listener.ts";
import { forwardHttp1, InnerSession } from "./forward.ts";
import { FrontCalls } from "./front-calls.ts";
import type { FromFront, FrontSetup, ToFront } from "./protocol.ts";

/** What a front knows of a caller's connection. */
interface Caller {
  readonly address: string;
  readonly inner: InnerSession;
}

const port = parentPort!;
const { limits, maxConnections, connections, place, paths, tls, sharesPort, door } = workerData as FrontSetup;
const calls = new FrontCalls(paths, (batch) => port.postMessage(batch, [batch.buffer as ArrayBuffer]));
const callers = new WeakMap<ServerHttp2Session, Caller>();
let tellsOfConnections = false;
/** Orders are done one after the other, so that answers come in their order. */
let obeyed = Promise.resolve();

keepTicksFast();
// For as long as the thread lives.
collectConnectionGarbage(new AbortController().signal);
const listener = new Listener({
  limits,
  log: { ...silentLog, warn: (message, fields) => post({ type: "warning", message, fields: textsOf(fields) }) },
  tls,
  sharesPort,
  connections: new ConnectionCount({ max: maxConnections, memory: connections, place, onChange: onConnections }),
  fastPath: (stream, headers) => {
    const { session } = stream;
    // A stream that was reset with its connection before anybody saw it.
    if (session === undefined) return true;
    const caller = callerOf(session as ServerHttp2Session);
    if (!calls.take(stream, headers, caller.address)) caller.inner.forward(stream, headers);
    return true;
  },
  handler: () => {}, // every stream is taken before
  http1: (socket) => forwardHttp1(socket, door),
});

function callerOf(session: ServerHttp2Session): Caller {
  let caller = callers.get(session);
  if (caller === undefined) {
    const address = session.socket.remoteAddress ?? "";
    caller = { address, inner: new InnerSession(door, address) };
    callers.set(session, caller);
    const { inner } = caller;
    session.on("close", () => inner.close());
  }
  return caller;
}

function onConnections(): void {
  if (tellsOfConnections) return;
  tellsOfConnections = true;
  setImmediate(() => {
    tellsOfConnections = false;
    post({ type: "connections" });
  });
}

function textsOf(fields: Readonly<Record<string, unknown>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
}

function post(message: FromFront): void {
  port.postMessage(message);
}

async function obey(order: ToFront): Promise<void> {
  switch (order.type) {
    case "listen":
      try {
        await listener.listen(order.address);
      } catch (error) {
        const { code, message } = (error as Error).cause as NodeJS.ErrnoException;
        post({ type: "refused", code, message });
        return;
      }
      break;
    case "tls":
      listener.setTls(order.tls);
      return;
    case "drain":
      listener.drain();
      break;
    case "destroy":
      await listener.destroy();
      break;
  }
  post({ type: "done" });
}

port.on("message", (message: Uint8Array | ToFront) => {
  if (message instanceof Uint8Array) calls.answer(message);
  else obeyed = obeyed.then(() => obey(message));
});
