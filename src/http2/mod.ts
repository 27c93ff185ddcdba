/**
 * HTTP/2, on both runtimes by nghttp2 in WebAssembly (docs/decisions/http2.md): an `EngineConnection` has what the protocol is, an `Http2Session`
 * joins one with its socket, and each request is an `Http2Stream`. To whoever calls or serves these are what node:http2 calls by the same names.
 */
export { acceptSession } from "./accept-session.ts";
export { openSession } from "./open-session.ts";
