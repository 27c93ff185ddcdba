/**
 * The RPC client of other nodes. `createPeers()` gives the {@link TaskService} of a target and asks nodes who they are. Below it lies
 * one HTTP/2 connection for each target (`connection.ts`, replaced and backed off by `session.ts`), kept in a bounded pool; unary calls run over its streams directly
 * (`unary-call.ts`), streaming calls through connect-node on the same connection. `peer.ts` holds what is true of every
 * call: its metadata, its deadline, and when it may be repeated. A target that turns out to be a node of the original kind is
 * spoken to in its protocol (`legacy-run.ts`). All errors are NodeErrors: the peer's own as it sent them, `target_unreachable`,
 * `target_misbehaved` or `deadline_exceeded` for what happens on the way.
 */
export { createPeers, DEFAULT_PEER_LIMITS } from "./peers.ts";
export type { PeerLimits, Peers, PeersOptions } from "./peers.ts";
export type { RecoverSigner } from "./node-query.ts";
