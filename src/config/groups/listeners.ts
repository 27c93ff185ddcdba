import * as z from "zod";
import { address, addresses, duration, integer, optionalPath, secret, size, texts } from "../setting.ts";

/** The RPC listener. */
export const rpc = z.strictObject({
  listen: addresses({
    min: 1,
    default: ["127.0.0.1:8081", "127.0.0.1:8083"],
    description:
      "Where other nodes reach this one. Every service answers on each address; the original had tasks on 8081 and storage on 8083",
  }),
  tlsCertFile: optionalPath({
    description:
      "The certificate chain (PEM) for rpc.listen, with rpc.tlsKeyFile. Without one it speaks plaintext, which addresses beyond loopback need node.insecure for",
  }),
  tlsKeyFile: optionalPath({ description: "The private key (PEM) of rpc.tlsCertFile" }),
  tlsCaFile: optionalPath({
    description:
      "Certificates (PEM) of issuers to trust, beside those that every program trusts, where this node calls others by https://host:port. A certificate that is signed by itself is its own issuer",
  }),
  allowedOrigins: texts({
    default: [],
    expectation: 'a list of origins such as "https://ui.example"',
    description: "Sites whose pages may call tasks and payments from a browser, by Connect or gRPC-Web",
  }),
  allow: texts({
    default: [],
    expectation: "a list of node ids, each 0x and 40 hex digits",
    description:
      "The nodes that are served, by their signatures; everybody when it is empty. With it rpc.listen may be reached by other machines",
  }),
  maxMessageBytes: size({
    default: "16MiB",
    min: 2 ** 10,
    max: 2 ** 28,
    description:
      "The largest single message. Larger inputs are streamed, so this bounds what one message can make the node hold",
  }),
  maxConcurrentStreams: integer({
    default: 256,
    min: 1,
    max: 100_000,
    description:
      "Calls at once on one connection. A peer's connection carries all its calls, so it is well above the tasks that run at once",
  }),
  maxHeaderBytes: size({
    default: "16KiB",
    min: 2 ** 10,
    max: 2 ** 20,
    description:
      "The largest headers of one call. Calls of nodes have less than 1 KiB; tokens of a proxy may need more",
  }),
  maxConnections: integer({
    default: 1024,
    min: 1,
    max: 1_000_000,
    description: "Connections at once, over all addresses. Each costs some 50 KiB and a file descriptor",
  }),
  idleTimeoutMs: duration({
    default: "5m",
    min: 1000,
    max: 86_400_000,
    description:
      "A connection without a call for this long is closed. Longer than requester.idleTimeoutMs, so that the caller closes first",
  }),
  requestTimeoutMs: duration({
    default: "15m",
    min: 100,
    max: 86_400_000,
    description:
      "The longest call, whatever deadline it asks for. Room for waiting in the queue and for tasks.maxTimeoutMs",
  }),
  callsPerSecond: integer({
    default: 0,
    min: 0,
    max: 1_000_000,
    description:
      "Calls a second from one requester, by its signature, or address, for those who do not sign. Beyond it they are refused as overloaded, with a time to wait. 0 means 2,000 where other machines reach the listener, and no limit on loopback; 1,000,000 is none",
  }),
  callsBurst: integer({
    default: 0,
    min: 0,
    max: 10_000_000,
    description: "How many of them may come at once after a pause; 0 means twice as many as in a second",
  }),
  frontThreads: integer({
    default: 0,
    min: 0,
    max: 64,
    description:
      "Threads that have the connections and speak HTTP/2 for the main thread, which then takes less than half of the time for a small call. Worth it for small tasks where cores are idle; streams, as those of files, take about twice the processor time. 0 has the main thread do all. Node on Linux only",
  }),
  maxUnreadBytes: size({
    default: "256KiB",
    min: 2 ** 16,
    max: 2 ** 30,
    description:
      "What the answers of one connection may have waiting for the system to take it before those who give them are held back, so that a caller that never reads costs no more",
  }),
});

/** The REST listener. */
export const rest = z.strictObject({
  listen: address({
    default: "127.0.0.1:3000",
    description:
      "Where the REST API listens. It can do everything, so an address beyond loopback needs rest.token or rest.scopedTokensFile",
  }),
  token: secret({
    minLength: 16,
    description:
      "What a REST request bears (Authorization: Bearer …) that may do everything. Draw it at random: openssl rand -hex 32",
  }),
  tokenFile: optionalPath({ description: "A file that holds rest.token, such as a mounted secret" }),
  scopedTokensFile: optionalPath({
    description:
      "A JSON file of further tokens, each by its name and SHA-256, with scopes and a time when it ends. velas-sphere token new makes its entries",
  }),
  tlsCertFile: optionalPath({
    description:
      "The certificate chain (PEM) for rest.listen, with rest.tlsKeyFile. Without one it speaks plaintext, which an address beyond loopback needs node.insecure for",
  }),
  tlsKeyFile: optionalPath({ description: "The private key (PEM) of rest.tlsCertFile" }),
  allowedHosts: texts({
    default: [],
    expectation: "a list of host names",
    description:
      "Names, with or without a port, that requests may use for this node beside the listening address and localhost. Others are refused, which stops DNS rebinding",
  }),
  allowedOrigins: texts({
    default: [],
    expectation: 'a list of origins such as "https://ui.example"',
    description: "Sites whose pages may call the API from a browser, beside the node's own pages",
  }),
  maxConnections: integer({
    default: 4096,
    min: 1,
    max: 1_000_000,
    description: "Connections at once; further ones are closed at once",
  }),
  maxBodyBytes: size({
    default: "64MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "The largest body of a request",
  }),
  maxHeaderBytes: size({
    default: "16KiB",
    min: 2 ** 10,
    max: 2 ** 20,
    description: "The largest request line and headers together",
  }),
  requestTimeoutMs: duration({
    default: "1m",
    min: 100,
    max: 86_400_000,
    description:
      "The longest time that a request's headers, or a body that is read whole, may take to arrive. Running its task is not counted",
  }),
  idleTimeoutMs: duration({
    default: "65s",
    min: 1000,
    max: 86_400_000,
    description:
      "The longest pause in a body, between requests of a connection, and of a reader. Above the minute after which proxies close theirs, so that they do so first",
  }),
  requestsPerSecond: integer({
    default: 0,
    min: 0,
    max: 1_000_000,
    description:
      "Requests a second from one token, or address, for those without. Beyond it they are refused as overloaded, with a time to wait. 0 means 2,000 where other machines reach the listener, and no limit on loopback; 1,000,000 is none",
  }),
  requestsBurst: integer({
    default: 0,
    min: 0,
    max: 10_000_000,
    description: "How many of them may come at once after a pause; 0 means twice as many as in a second",
  }),
  maxEventStreams: integer({
    default: 256,
    min: 1,
    max: 100_000,
    description: "Streams of task events open at once",
  }),
});
