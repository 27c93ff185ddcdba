import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { NodeError } from "./errors.ts";
import { isNodeId, type NodeKey, parseNodeId, recoverSigner, SIGNATURE_BYTES } from "./identity.ts";
import type { NodeId } from "./ids.ts";
import type { ShardId } from "./shard.ts";

/** What a capability may allow: to read bytes of shards, or to audit them. */
export type CapabilityAction = "read" | "audit";

const ACTIONS: readonly CapabilityAction[] = ["read", "audit"];
const TITLE = "velas-sphere capability v1";
const ID_BYTES = 16;
/** The most shards that one names: those of the widest policy. */
const MAX_SHARDS = 64;
const MAX_TEXT_BYTES = 12_000; // headers of a call have 16 KiB in all
const SHARD_ID = /^[0-9a-f]{32}$/;

/** What an owner of shards allows somebody else. */
export interface CapabilityTerms {
  /** Who may use it; empty for whoever has it. */
  readonly audience: NodeId | "";
  readonly shards: readonly ShardId[];
  readonly actions: readonly CapabilityAction[];
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Bytes that each provider gives for it. */
  readonly maxBytes: number;
}

/** A capability that was read and verified. */
export interface Capability extends CapabilityTerms {
  /** Whose shards they are. */
  readonly issuer: NodeId;
  /** 32 hex digits. */
  readonly id: string;
  /** The one that it was made from, whose bytes it uses too. */
  readonly parent?: { readonly id: string; readonly maxBytes: number; readonly expiresAt: number };
}

/** Signs a capability: the text that calls bear (docs/protocol.md). Throws `invalid_argument` for terms that have no form. */
export function signCapability(key: NodeKey, terms: CapabilityTerms): string {
  return sealed(key, terms, "");
}

/**
 * Passes a capability on, narrowed, to somebody else: one level, by its audience. Throws `invalid_argument` when the terms are wider than what
 * is passed on, or it was passed on already, and `unauthenticated` when it is none.
 */
export function attenuateCapability(key: NodeKey, parent: string, terms: CapabilityTerms): string {
  const text = sealed(key, terms, parent);
  readCapability(text);
  return text;
}

/** Reads and verifies a capability; whether it holds now, here and for this caller is for the reader to judge. Throws `unauthenticated`. */
export function readCapability(text: string): Capability {
  const links = text.split("~");
  if (text.length > MAX_TEXT_BYTES || links.length > 2) throw refused("is too long or was passed on more than once");
  const root = readLink(links[0]!);
  if (links.length === 1) return root;
  const narrowed = readLink(links[1]!, links[0]);
  const isWithin = narrowed.expiresAt <= root.expiresAt && narrowed.maxBytes <= root.maxBytes &&
    narrowed.shards.every((shard) => root.shards.includes(shard)) &&
    narrowed.actions.every((action) => root.actions.includes(action));
  if (root.audience === "" || narrowed.issuer !== root.audience) {
    throw refused("was passed on by somebody else than its audience");
  }
  if (!isWithin) throw refused("allows more than the one that it was made from");
  return {
    ...narrowed,
    issuer: root.issuer,
    parent: { id: root.id, maxBytes: root.maxBytes, expiresAt: root.expiresAt },
  };
}

function sealed(key: NodeKey, terms: CapabilityTerms, parent: string): string {
  const { audience, shards, actions, expiresAt, maxBytes } = terms;
  const isNumber = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (
    shards.length === 0 || shards.length > MAX_SHARDS || !shards.every((shard) => SHARD_ID.test(shard)) ||
    actions.length === 0 || !isNumber(expiresAt) || !isNumber(maxBytes) || parent.includes("~")
  ) {
    throw new NodeError(
      "invalid_argument",
      `A capability names 1 to ${MAX_SHARDS} shards, what may be done, an end and a number of bytes, and is passed on once at most`,
    );
  }
  const id = randomBytes(ID_BYTES).toString("hex");
  const words = Buffer.from(
    [TITLE, id, key.nodeId, audience, expiresAt, maxBytes, actions.join(","), shards.join(",")].join("\n"),
  );
  const link = `${words.toString("base64url")}.${
    Buffer.from(key.sign(signedBytes(words, parent))).toString("base64url")
  }`;
  return parent === "" ? link : `${parent}~${link}`;
}

/** A narrowed capability is signed together with the one that it was made from. */
function signedBytes(words: Uint8Array, parent: string): Uint8Array {
  return parent === "" ? words : Buffer.concat([words, Buffer.from(`\n${parent}`)]);
}

function readLink(link: string, parent = ""): Capability {
  const [encoded = "", signature = ""] = link.split(".");
  const words = Buffer.from(encoded, "base64url");
  const [title, id = "", issuer = "", audience = "", expires = "", most = "", acts = "", ids = "", ...more] = words
    .toString("utf8").split("\n");
  const actions = acts.split(",") as CapabilityAction[];
  const shards = ids.split(",");
  const isFormed = title === TITLE && more.length === 0 && SHARD_ID.test(id) && isNodeId(issuer) &&
    (audience === "" || isNodeId(audience)) && /^\d{1,16}$/.test(expires) && /^\d{1,16}$/.test(most) &&
    actions.every((action) => ACTIONS.includes(action)) && shards.length <= MAX_SHARDS &&
    shards.every((shard) => SHARD_ID.test(shard));
  if (!isFormed) throw refused("is none");
  const given = Buffer.from(signature, "base64url");
  let signer: NodeId | undefined;
  try {
    if (given.length === SIGNATURE_BYTES) signer = recoverSigner(signedBytes(words, parent), given);
  } catch {
    // Falls through: nobody signed it.
  }
  if (signer !== parseNodeId(issuer)) throw refused("is not signed by who it says");
  return {
    id,
    issuer: signer,
    audience: audience === "" ? "" : parseNodeId(audience),
    expiresAt: Number(expires),
    maxBytes: Number(most),
    actions,
    shards,
  };
}

function refused(why: string): NodeError {
  return new NodeError("unauthenticated", `The capability ${why}: ask the file's owner for another`);
}
