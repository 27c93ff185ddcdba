import { NodeError } from "../core/mod.ts";

/** What an upload ends with whose stream of requests ended without its end message. */
export function cutOff(method: string): NodeError {
  return new NodeError(
    "canceled",
    `The requests of ${method} ended without the end message: the caller went away, or forgot it`,
  );
}
