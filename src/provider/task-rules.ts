import {
  checkTaskId,
  NodeError,
  type NodeLimits,
  TASK_STATES,
  type TaskBound,
  type TaskLimits,
  type TaskQuery,
  type TaskSpec,
} from "../core/mod.ts";

/** The content type of an input or output that names none. */
export const ANY_CONTENT = "application/octet-stream";

/** Checks what callers ask for, completely and before anything happens. */
export class TaskRules {
  readonly #max: Required<NodeLimits>;
  readonly #defaults: Required<Pick<TaskLimits, TaskBound>>;

  constructor(max: NodeLimits, defaults: TaskLimits) {
    const { instructions = Number.MAX_SAFE_INTEGER } = max;
    this.#max = { ...max, instructions };
    // An operator may lower a maximum below the default; then the default follows.
    this.#defaults = {
      timeoutMs: Math.min(defaults.timeoutMs, max.timeoutMs),
      memoryBytes: Math.min(defaults.memoryBytes, max.memoryBytes),
      outputBytes: Math.min(defaults.outputBytes, max.outputBytes),
      instructions: Math.min(defaults.instructions ?? instructions, instructions),
    };
  }

  get maxInputBytes(): number {
    return this.#max.inputBytes;
  }

  /** The limits that a task gets. Throws `invalid_argument` or `input_too_large`. */
  check(spec: TaskSpec): TaskLimits {
    if (spec.id !== "") checkTaskId(spec.id);
    if (spec.plugin.length > 160) throw invalid("plugin", spec.plugin, "at most 160 characters");
    if (spec.function.length > 128) throw invalid("function", spec.function, "at most 128 characters");
    if (spec.contentType.length > 255) throw invalid("contentType", spec.contentType, "at most 255 characters");
    const { priority } = spec;
    if (!Number.isInteger(priority) || priority < -100 || priority > 100) {
      throw invalid("priority", priority, "a whole number from -100 to 100");
    }
    if (spec.input.length > this.#max.inputBytes) throw inputTooLarge(spec.input.length, this.#max.inputBytes);
    const { limits } = spec;
    return {
      timeoutMs: this.#limit("timeoutMs", limits.timeoutMs),
      memoryBytes: this.#limit("memoryBytes", limits.memoryBytes),
      outputBytes: this.#limit("outputBytes", limits.outputBytes),
      instructions: this.#limit("instructions", limits.instructions),
      ...(limits.noGpu === true && { noGpu: true }),
    };
  }

  #limit(name: TaskBound, asked: number | undefined): number {
    if (asked === undefined || asked === 0) return this.#defaults[name];
    const max = this.#max[name];
    if (!Number.isInteger(asked) || asked < 0) {
      throw invalid(`limits.${name}`, asked, `a whole number from 0 to ${max}`);
    }
    if (asked > max) {
      throw new NodeError(
        "invalid_argument",
        `limits.${name} is ${asked}, and this node allows at most ${max}: ask for less`,
        {
          data: { field: `limits.${name}`, value: asked, max },
        },
      );
    }
    return asked;
  }
}

/** Checks a list query. Throws `invalid_argument`. */
export function checkQuery(query: TaskQuery): void {
  const { pageSize, states } = query;
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 1000) {
    throw invalid("pageSize", pageSize, "a whole number from 1 to 1000");
  }
  for (const state of states) {
    if (!TASK_STATES.includes(state)) throw invalid("state", state, `one of ${TASK_STATES.join(", ")}`);
  }
}

/** The error of an input over the node's limit. `sizeBytes` may be only what had come by then. */
export function inputTooLarge(sizeBytes: number, max: number): NodeError {
  return new NodeError(
    "input_too_large",
    `The input has ${sizeBytes} bytes or more, and this node takes at most ${max}: send less, or store it as a file`,
    { data: { sizeBytes, max } },
  );
}

function invalid(field: string, value: string | number, expected: string): NodeError {
  const shown = typeof value === "string" && value.length > 200 ? `${value.slice(0, 200)}…` : value;
  return new NodeError("invalid_argument", `${field} is ${JSON.stringify(shown)}, and must be ${expected}`, {
    data: { field, value: shown },
  });
}
