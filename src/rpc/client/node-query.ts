import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { ANONYMOUS, currentRequestId, newUlid, NodeError, type NodeId, type NodeInfo } from "../../core/mod.ts";
import { GetInfoRequestSchema, NodeService } from "../../gen/velas/sphere/v1/node_pb.ts";
import { decodeNodeInfo, nodeInfoMessage } from "../node-convert.ts";
import { explain } from "./failures.ts";
import { beyondLegacy } from "./legacy-run.ts";
import { isUnknownService, type Peer } from "./peer.ts";

/** Finds who signed a message (EIP-191) from the 65 bytes of a signature; throws when they are none. */
export type RecoverSigner = (message: Uint8Array, signature: Uint8Array) => NodeId;

const NONCE_BYTES = 16;

/**
 * Asks a peer who it is. The answer must be signed by the node id that it names, over a nonce drawn here, so it can be
 * neither forged nor replayed; if it is not, `target_misbehaved` is thrown.
 */
export async function queryNode(peer: Peer, recover: RecoverSigner, signal: AbortSignal): Promise<NodeInfo> {
  const { clock, requestTimeoutMs } = peer.options;
  const nonce = randomBytes(NONCE_BYTES);
  const request = create(GetInfoRequestSchema, { nonce: Uint8Array.from(nonce) });
  const ctx = { requester: ANONYMOUS, signal, requestId: currentRequestId() ?? newUlid(clock.now()) } as const;
  let response;
  try {
    response = await peer.call(ctx, { timeoutMs: requestTimeoutMs, repeatable: true }, async (attempt) => {
      const { timeoutMs, metadata } = attempt;
      return (await peer.transport.unary(NodeService.method.getInfo, signal, timeoutMs, metadata, request)).message;
    });
  } catch (reason) {
    throw isUnknownService(reason) ? beyondLegacy(peer, "describe itself") : explain(reason, peer.target);
  }
  const { info, nonce: echoed } = decodeNodeInfo(response.info);
  if (!nonce.equals(echoed)) throw forged(peer, "it is not an answer to this question (the nonce differs)");
  const signer = signerOf(peer, recover, response);
  if (signer.toLowerCase() !== info.nodeId.toLowerCase()) {
    throw forged(peer, `it names node ${info.nodeId} but is signed by ${signer}`);
  }
  return info;
}

function signerOf(peer: Peer, recover: RecoverSigner, response: { info: Uint8Array; signature: Uint8Array }): NodeId {
  try {
    return recover(nodeInfoMessage(response.info), response.signature);
  } catch (cause) {
    throw forged(peer, "its signature is none", cause);
  }
}

function forged(peer: Peer, why: string, cause?: unknown): NodeError {
  return new NodeError(
    "target_misbehaved",
    `Cannot trust the description that ${peer.target} gives of itself: ${why}`,
    {
      data: { target: peer.target },
      cause,
    },
  );
}
