import type { PeerExperience } from "../core/mod.ts";

/** How something went that a peer did for this node. */
export interface Outcome {
  /** How much it counts; 1 for a task. */
  readonly weight: number;
  /** What went wrong; absent when it went well. */
  readonly error?: string;
  /** How much longer it took than at others, as a natural logarithm. */
  readonly pace?: number;
}

/** Old news counts half as much after this. */
const HALF_LIFE_MS = 7 * 86_400_000;
/** The part that a new pace has in the mean. */
const PACE_SHARE = 0.1;
const MAX_PACE = 3;
const MAX_ERROR_CHARS = 300;
/** What speed can add to a score. */
const SPEED_SHARE = 0.3;

/** That of a peer of whom nothing is known. */
export function noExperience(nowMs: number): PeerExperience {
  return { good: 0, bad: 0, pace: 0, at: nowMs };
}

/** The same at a later time. A clock that went back changes nothing. */
export function decayed(experience: PeerExperience, nowMs: number): PeerExperience {
  const left = 0.5 ** (Math.max(0, nowMs - experience.at) / HALF_LIFE_MS);
  return {
    ...experience,
    good: experience.good * left,
    bad: experience.bad * left,
    pace: experience.pace * left,
    at: Math.max(nowMs, experience.at),
  };
}

/** The experience with one outcome more. */
export function learned(experience: PeerExperience, outcome: Outcome, nowMs: number): PeerExperience {
  const now = decayed(experience, nowMs);
  const { weight, error, pace } = outcome;
  if (error !== undefined) return { ...now, bad: now.bad + weight, lastError: error.slice(0, MAX_ERROR_CHARS) };
  const bounded = pace === undefined ? now.pace : Math.max(-MAX_PACE, Math.min(MAX_PACE, pace));
  return { ...now, good: now.good + weight, pace: now.pace + PACE_SHARE * (bounded - now.pace) };
}

/**
 * 0 to 1: the chance that the next thing goes well, (good + 1) ÷ (good + bad + 2) by the rule of succession, of which up to 30 % depends
 * on speed: all of it for a peer much faster than others, half for one as fast, or of unknown speed.
 */
export function scoreOf(experience: PeerExperience, nowMs: number): number {
  const { good, bad, pace } = decayed(experience, nowMs);
  const chance = (good + 1) / (good + bad + 2);
  return chance * (1 - SPEED_SHARE + SPEED_SHARE / (1 + Math.exp(pace)));
}
