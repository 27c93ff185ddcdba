import { ANONYMOUS, type NodeId, type RequesterId } from "../core/mod.ts";

const NODE_ID = /^0x[0-9a-fA-F]{40}$/;

/** Whether a text has the form of a node id; its checksum is not looked at, since that takes a hash and this is asked for every call. */
export function hasNodeIdForm(text: string): text is NodeId {
  return NODE_ID.test(text);
}

/** Who a text names: a node id, or nobody known. */
export function requesterFromText(text: string | null | undefined): RequesterId {
  return text != null && hasNodeIdForm(text) ? text : ANONYMOUS;
}
