import { NodeError } from "./errors.ts";

const TIME_DIGITS = 12;
const POSITION = /^[0-9a-f]{12}\.[A-Za-z0-9._~:-]{1,128}$/;

/** Milliseconds since the epoch as 12 hex digits, which sort as text in the order of time. */
export function timeKey(ms: number): string {
  return Math.max(0, Math.floor(ms)).toString(16).padStart(TIME_DIGITS, "0");
}

/**
 * Where a task stands in a list that is ordered by time of creation, then id: text that sorts in that order. It is the page
 * token of task lists, so that lists from several sources can be merged.
 */
export function taskPosition(task: { readonly createdAt: number; readonly id: string }): string {
  return `${timeKey(task.createdAt)}.${task.id}`;
}

/** The id of the task at a position. Throws `invalid_argument` when the text is no position. */
export function positionId(position: string): string {
  if (!POSITION.test(position)) {
    const shown = JSON.stringify(position.slice(0, 200));
    throw new NodeError(
      "invalid_argument",
      `The page token ${shown} is not one that this node gave: begin again without one`,
    );
  }
  return position.slice(TIME_DIGITS + 1);
}
