import { NodeError } from "./errors.ts";

const TASK_ID = /^[A-Za-z0-9._~:-]{1,128}$/;

/** What a task's id is made of, in words for messages. */
export const TASK_ID_CHARACTERS = "A-Z a-z 0-9 . _ ~ : -";

/** Checks an id that a requester chose for a task. Throws `invalid_argument`. */
export function checkTaskId(id: string): void {
  if (TASK_ID.test(id)) return;
  const shown = id.length > 200 ? `${id.slice(0, 200)}…` : id;
  throw new NodeError(
    "invalid_argument",
    `The task id ${JSON.stringify(shown)} cannot be used: choose 1 to 128 of the characters ${TASK_ID_CHARACTERS}`,
    { data: { field: "id", value: shown } },
  );
}
