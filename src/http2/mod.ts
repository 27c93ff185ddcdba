/**
 * HTTP/2 on Deno. Deno 2.8.3 has node:http2 by nghttp2, as Node does, but never frees what that has of a connection, takes all that is written whether
 * its peer reads or not, and needs three times the processor time (docs/decisions/http2-on-deno.md). So nghttp2 is here once more, in WebAssembly: an
 * `EngineConnection` has what the protocol is, an `Http2Session` joins one with its socket, and each request is an `Http2Stream`. To whoever calls or
 * serves these are what node:http2 calls by the same names; on Node they are that.
 */
export { acceptSession } from "./accept-session.ts";
export { openSession, type OpenSessionOptions } from "./open-session.ts";
