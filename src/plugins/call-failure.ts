import type { ErrorCode } from "../core/mod.ts";
import { BudgetIsOver } from "./instance-meter.ts";
import { HostRefusal } from "./kernel.ts";
import { PAGE_BYTES } from "./prepare-module.ts";
import { TimeIsOver } from "./time-guard.ts";
import { WasiExit } from "./wasi.ts";
import type { WarmInstance } from "./warm-instance.ts";

export interface CallFailure {
  readonly code: ErrorCode;
  readonly message: string;
}

const SHOWN_CHARACTERS = 300;

/** What the error means that a plugin's code ended with. `refusal` is the host's own reason, which outweighs the rest. */
export function explainFailure(
  error: unknown,
  { instance, refusal, timeoutMs, instructions }: {
    instance: WarmInstance | undefined;
    refusal: HostRefusal | undefined;
    timeoutMs: number;
    instructions: number;
  },
): CallFailure {
  if (error instanceof TimeIsOver) return timeIsOver(timeoutMs);
  if (refusal !== undefined) return refusal;
  if (error instanceof WebAssembly.LinkError || error instanceof WebAssembly.CompileError) {
    return { code: "module_invalid", message: `The module cannot be instantiated: ${cut(error.message)}` };
  }
  if (instance === undefined) {
    return { code: "overloaded", message: `The machine has no room for another instance: ${messageOf(error)}` };
  }
  const { meter } = instance;
  if (meter.left < 0 || error instanceof BudgetIsOver) return budgetIsOver(instructions);
  if (error instanceof WasiExit) return { code: "plugin_trapped", message: error.message };
  if (meter.isTooDeep || (error instanceof RangeError && /call stack/i.test(error.message))) {
    return { code: "plugin_trapped", message: "The plugin recursed too deeply: its stack is full" };
  }
  const reported = instance.error();
  if (reported !== undefined) return pluginFailed(reported);
  // Languages abort when an allocation fails.
  if (meter.deniedPages > 0) {
    return {
      code: "memory_exceeded",
      message:
        `The plugin has ${instance.memoryBytes} bytes of memory of the ${instance.maxMemoryBytes} it may have, wanted ` +
        `${meter.deniedPages * PAGE_BYTES} more, and stopped (${
          messageOf(error)
        }); raise limits.memoryBytes if it needs more`,
    };
  }
  return { code: "plugin_trapped", message: `The plugin trapped: ${messageOf(error)}` };
}

/** The plugin's own error. */
export function pluginFailed(text: string): CallFailure {
  return { code: "plugin_failed", message: text === "" ? "The plugin failed without saying why" : text };
}

/** The call spent more instructions than it may. */
export function budgetIsOver(instructions: number): CallFailure {
  return {
    code: "budget_exceeded",
    message:
      `The plugin ran through the task's budget of ${instructions} instructions (limits.instructions) and was stopped`,
  };
}

/** The call ran longer than it may. */
export function timeIsOver(timeoutMs: number): CallFailure {
  return {
    code: "deadline_exceeded",
    message: `The plugin ran longer than the task's limit of ${timeoutMs} ms (limits.timeoutMs) and was stopped`,
  };
}

function messageOf(error: unknown): string {
  // A WebAssembly.Exception is no Error: the plugin threw it and nothing in it caught it.
  return error instanceof Error ? cut(error.message) : "an exception that it did not catch";
}

function cut(message: string): string {
  return message.slice(0, SHOWN_CHARACTERS);
}
