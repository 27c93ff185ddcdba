import type { NodeId, PeerSource, PeerView, Reachability } from "../core/mod.ts";
import { decayed, scoreOf } from "./experience.ts";
import type { ListedNode, PeerRecord } from "./peer-record.ts";

/** A peer in the book, and what names it. */
export interface Entry {
  record: PeerRecord;
  isStatic: boolean;
  /** How many nodes the registry lists here. */
  listings: number;
}

export interface ViewContext {
  /** This node. */
  readonly self: NodeId;
  readonly nowMs: number;
  /** Where the registry lists the node that answers, if it does. */
  readonly listed: ListedNode | undefined;
}

/** A peer as people look at it. */
export function viewOf(entry: Entry, context: ViewContext): PeerView {
  const { listed, nowMs } = context;
  const { added, experience, ...record } = entry.record;
  const sources: PeerSource[] = [];
  if (entry.isStatic) sources.push("static");
  if (added) sources.push("added");
  if (entry.listings > 0) sources.push("registry");
  const problem = record.problem ?? strangenessOf(entry, context);
  const { claims } = record;
  // A node may say where it is in the registry only.
  const region = claims?.region || (listed?.target === record.target ? listed.region : "");
  return {
    ...record,
    ...(claims !== undefined && { claims: { ...claims, region } }),
    sources,
    reachability: reachabilityOf(record),
    score: scoreOf(experience, nowMs),
    experience: decayed(experience, nowMs),
    ...(problem !== undefined && { problem }),
  };
}

/** Why a peer that answers is not used all the same. */
function strangenessOf({ record, isStatic }: Entry, { self, listed }: ViewContext): string | undefined {
  const { nodeId, added, blocked, target } = record;
  if (blocked) return "You blocked it; peers add takes it back";
  if (nodeId === undefined) return undefined;
  if (nodeId.toLowerCase() === self.toLowerCase()) return "It is this node";
  if (isStatic || added || listed?.target === target) return undefined;
  return `The registry names another node here than ${nodeId}, which answers`;
}

function reachabilityOf({ failures, lastSeenAt }: Pick<PeerRecord, "failures" | "lastSeenAt">): Reachability {
  if (failures > 0) return "unreachable";
  return lastSeenAt === undefined ? "unknown" : "reachable";
}
