import { NodeError } from "./errors.ts";

/** The error of a task that allows no GPU, for a plugin that works on one. */
export function gpuNeeded(plugin: string): NodeError {
  const shown = plugin.slice(0, 160);
  return new NodeError(
    "failed_precondition",
    `The plugin ${shown} works on a GPU, and the task allows none (limits.no_gpu): reserve for GPU time too, and send it without that`,
    { data: { plugin: shown, gpu: "needed" } },
  );
}

/** Whether a task was refused by {@link gpuNeeded}, here or elsewhere: it has not begun, and nothing was charged. */
export function isGpuNeeded(error: unknown): boolean {
  return error instanceof NodeError && error.code === "failed_precondition" && error.data["gpu"] === "needed";
}
