import { isTaskReceiptSigned, NodeError } from "../core/mod.ts";
import { type ClientFlags, clientOf } from "./command.ts";
import type { CliContext } from "./context.ts";
import { showReceipt, type TaskJson } from "./task-view.ts";

/** Prints the receipt of a task. Throws `not_found` when it has none, and `target_misbehaved` for one that is not signed. */
export async function printReceipt(
  cli: CliContext,
  id: string,
  flags: ClientFlags & { readonly target?: string },
): Promise<void> {
  const path = `/v1/tasks/${encodeURIComponent(id)}`;
  const task = await clientOf(cli, flags).json<TaskJson>("GET", path, { query: { target: flags.target } });
  const { receipt, state } = task;
  if (receipt === undefined) {
    const why = state === "succeeded" ? "its provider signs none" : `it is ${state}, and only what succeeded has one`;
    throw new NodeError("not_found", `Task ${id} has no receipt: ${why}`);
  }
  if (flags.json === true) cli.out.line(JSON.stringify(receipt));
  else showReceipt(receipt, cli.out);
  if (!isTaskReceiptSigned(receipt)) {
    throw new NodeError("target_misbehaved", `The receipt of task ${id} is not signed by ${receipt.provider}`);
  }
}
