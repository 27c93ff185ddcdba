import type { CustodyStatement } from "./api-types.ts";
import { fullTime } from "./format.ts";

/** What can be done with a statement from the page. */
export type CustodyAction = "challenge" | "slash";

/** How a statement stands, and what that means for this node. */
export interface Standing {
  readonly word: string;
  readonly tone: "ok" | "warn" | "bad" | "dim";
  readonly todo: string;
  readonly action?: CustodyAction;
}

/** What there is to do about a statement. Times are milliseconds since the epoch. */
export function standingOf(statement: CustodyStatement, nowMs: number): Standing {
  const { role, challenge, lost, released, expiresAt } = statement;
  const isOver = Date.parse(expiresAt) <= nowMs;
  if (role === "provider") {
    if (released) return { word: "released", tone: "dim", todo: "Nothing: its owner has released this node" };
    if (isOver) return { word: "over", tone: "dim", todo: "Nothing" };
    return { word: "bound", tone: "ok", todo: "Keep the shard until then; challenges are answered by themselves" };
  }
  if (challenge?.state === "slashed") {
    return { word: "slashed", tone: "ok", todo: "Withdraw the half of it: payments withdraw --from registry" };
  }
  if (challenge?.state === "answered") {
    return { word: "answered", tone: "dim", todo: "Nothing: it has shown the shard, and has the bond" };
  }
  if (challenge?.state === "done") return { word: "ended", tone: "dim", todo: "Nothing" };
  if (challenge?.state === "open") {
    const { deadline = expiresAt } = challenge;
    return Date.parse(deadline) > nowMs
      ? { word: "challenged", tone: "warn", todo: `Wait: it may answer until ${fullTime(deadline)}` }
      : { word: "unanswered", tone: "bad", todo: "Its time to answer is over", action: "slash" };
  }
  if (isOver) return { word: "over", tone: "dim", todo: "Nothing" };
  if (lost) return { word: "lost", tone: "bad", todo: "It failed to prove the shard", action: "challenge" };
  return { word: "held", tone: "ok", todo: "Nothing: it proves the shard when it is audited" };
}
