import { NodeError } from "../core/mod.ts";

/** The error of a peer's answer that is not what the protocol says. */
export function misbehaved(what: string): NodeError {
  return new NodeError("target_misbehaved", `The target's answer breaks the protocol: ${what}`);
}
