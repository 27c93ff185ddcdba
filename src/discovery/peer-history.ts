import type { NodeError, NodeId } from "../core/mod.ts";
import { claimsOf } from "./claims.ts";
import { learned, type Outcome } from "./experience.ts";
import { newRecord, type PeerRecord } from "./peer-record.ts";
import type { ProbeAnswer } from "./ports.ts";

/*
 * What the record of a peer becomes by what the peer does. An experience belongs to a node at an address: when another node answers there, it
 * begins anew, and nobody gains a score by passing on the answers of another.
 */

const LATENCY_SHARE = 0.3;
const MAX_PROBLEM_CHARS = 300;

/** Something that a peer did, well or not. */
export interface Deed extends Outcome {
  /** Whether it is out of reach since. */
  readonly gone?: boolean;
  /** Which node it was, where that is known. */
  readonly nodeId?: NodeId;
}

export function afterAnswer(record: PeerRecord, answer: ProbeAnswer, nowMs: number): PeerRecord {
  const { latencyMs, info: { nodeId } } = answer;
  const isNew = record.nodeId !== undefined && record.nodeId.toLowerCase() !== nodeId.toLowerCase();
  const { problem: _, ...known } = isNew
    ? { ...newRecord(record.target, nowMs), added: record.added, blocked: record.blocked }
    : record;
  return {
    ...known,
    nodeId,
    lastSeenAt: nowMs,
    lastProbeAt: nowMs,
    failures: 0,
    latencyMs: known.latencyMs === undefined
      ? latencyMs
      : known.latencyMs + LATENCY_SHARE * (latencyMs - known.latencyMs),
    claims: claimsOf(answer, nowMs),
  };
}

export function afterSilence(record: PeerRecord, error: NodeError, nowMs: number): PeerRecord {
  const problem = error.message.slice(0, MAX_PROBLEM_CHARS);
  // A peer that is down is told once; one that was never up has no experience to lose.
  const counts = record.nodeId !== undefined && record.failures === 0;
  const weight = error.code === "target_misbehaved" ? 2 : 0.5;
  return {
    ...record,
    lastProbeAt: nowMs,
    failures: record.failures + 1,
    problem,
    experience: counts ? learned(record.experience, { weight, error: problem }, nowMs) : record.experience,
  };
}

/** Undefined when another node than the record's did it. */
export function afterDeed(record: PeerRecord, deed: Deed, nowMs: number): PeerRecord | undefined {
  const { nodeId, gone } = deed;
  if (nodeId !== undefined && record.nodeId?.toLowerCase() !== nodeId.toLowerCase()) return undefined;
  const experienced = { ...record, experience: learned(record.experience, deed, nowMs) };
  if (gone !== true || record.failures > 0) return experienced;
  return { ...experienced, failures: 1, problem: deed.error!.slice(0, MAX_PROBLEM_CHARS) };
}
