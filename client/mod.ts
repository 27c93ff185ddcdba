/**
 * Calls a Velas Sphere node: tasks, files, payments. The messages are those of `proto/`, generated once for the node and for this. A client is
 * made by `connectNode` (Node, Deno: HTTP/2, everything) or `connectWeb` (browsers: fetch; files come over REST there, since a browser
 * can stream nothing both ways and the node's file service answers no web page).
 */
export { SphereClient } from "./sphere-client.ts";
export type { ClientParts } from "./sphere-client.ts";
export { Tasks } from "./tasks.ts";
export type { RunOptions, TaskOutput } from "./tasks.ts";
export { ConnectFiles } from "./connect-files.ts";
export { RestFiles } from "./rest-files.ts";
export type { Content, FileInfo, Files, PutOptions, ReadOptions } from "./files.ts";
export { Payments } from "./payments.ts";
export { SphereError } from "./sphere-error.ts";
export { drawSecretKey, keyOf } from "./key.ts";
export type { ClientKey } from "./key.ts";
export { openSession } from "./session.ts";
export type { ClientSession, SessionOptions } from "./session.ts";
export type { Signing } from "./signing.ts";
