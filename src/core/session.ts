import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { NodeError } from "./errors.ts";
import { isNodeId, type NodeKey, recoverSigner } from "./identity.ts";
import type { NodeId } from "./ids.ts";

/** How long a session may last, in milliseconds. */
export const MAX_SESSION_MS = 3_600_000;
/** How far the clocks of two nodes may differ, in milliseconds. */
const CLOCK_SKEW_MS = 60_000;

/** A node's word to one provider that calls bearing it are its own, until it ends (docs/protocol.md). */
export interface Session {
  readonly requester: NodeId;
  readonly provider: NodeId;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** Makes the text that calls bear: the signed words, a dot, and the signature, each in base64url. */
export function signSession(key: NodeKey, { provider, expiresAt }: Omit<Session, "requester">): string {
  const nonce = randomBytes(16).toString("hex");
  const words = Buffer.from(["velas-sphere session v1", key.nodeId, provider, expiresAt, nonce].join("\n"));
  return `${words.toString("base64url")}.${Buffer.from(key.sign(words)).toString("base64url")}`;
}

/**
 * Reads and verifies what a call bears. Throws `unauthenticated` when it is malformed, not signed by the node that it names, for another
 * provider, over, or made to last too long.
 */
export function verifySession(text: string, { self, now }: { readonly self: NodeId; readonly now: number }): Session {
  const [words = "", signature = ""] = text.split(".");
  const bytes = Buffer.from(words, "base64url");
  const [title, requester = "", provider, expires = ""] = bytes.toString("utf8").split("\n");
  const expiresAt = Number(expires);
  if (title !== "velas-sphere session v1" || !isNodeId(requester) || !/^\d{1,15}$/.test(expires)) {
    throw refused("is none");
  }
  if (provider !== self) throw refused(`is for ${String(provider).slice(0, 64)}, and this is ${self}`);
  if (expiresAt <= now - CLOCK_SKEW_MS) throw refused("is over");
  if (expiresAt > now + MAX_SESSION_MS + CLOCK_SKEW_MS) throw refused(`lasts longer than ${MAX_SESSION_MS} ms`);
  let signer: NodeId;
  try {
    signer = recoverSigner(bytes, Buffer.from(signature, "base64url"));
  } catch (cause) {
    throw new NodeError("unauthenticated", "The session's signature is none", { cause });
  }
  if (signer !== requester) throw refused(`names ${requester} and is signed by ${signer}`);
  return { requester, provider: self, expiresAt };
}

function refused(why: string): NodeError {
  return new NodeError("unauthenticated", `The session of the call ${why}: sign a new one`);
}
