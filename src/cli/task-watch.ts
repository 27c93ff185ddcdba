import { type ErrorCode, isEnd, NodeError } from "../core/mod.ts";
import type { NodeClient } from "./client.ts";
import type { CliContext } from "./context.ts";
import { progressBar, styleState, type TaskJson } from "./task-view.ts";
import { printable, type Screen } from "./terminal.ts";

export interface WatchOptions {
  readonly target?: string | undefined;
  /** One JSON object a line on standard output instead of words on standard error. */
  readonly json: boolean;
}

/** Shows what happens to a task until it ends, and returns its last record. */
export async function watchTask(
  client: NodeClient,
  id: string,
  { cli, ...options }: WatchOptions & { readonly cli: CliContext },
): Promise<TaskJson> {
  const view = options.json ? jsonView(cli.out) : wordView(cli.err);
  let last: TaskJson | undefined;
  try {
    const path = `/v1/tasks/${encodeURIComponent(id)}/events`;
    for await (const event of client.events(path, { query: { target: options.target } })) {
      const data = parseData(event.data);
      view.show(event.type, data);
      if (event.type !== "state") continue;
      last = data as unknown as TaskJson;
      if (isEnd(last.state)) return last;
    }
  } finally {
    view.end();
  }
  throw new NodeError(
    "target_misbehaved",
    `The events of task ${id} ended before the task did: ask again with task get ${id}`,
  );
}

/** Throws what a task ended with, unless it succeeded. */
export function assertSucceeded(task: TaskJson): void {
  if (task.state === "succeeded") return;
  const code: ErrorCode = task.reason ??
    (task.state === "canceled" ? "canceled" : task.state === "expired" ? "expired" : "internal");
  throw new NodeError(code, task.message ?? `Task ${task.id} ${task.state}`);
}

interface View {
  show(type: string, data: Record<string, unknown>): void;
  end(): void;
}

function jsonView(screen: Screen): View {
  return {
    show: (type, data) => screen.line(JSON.stringify({ event: type, ...data })),
    end() {},
  };
}

/** Log lines as they come, and below them, on a terminal, one line that is redrawn: state or progress. */
function wordView(screen: Screen): View {
  const { dim, red, yellow } = screen.colors;
  let status = "";
  const clear = (): void => {
    if (screen.isTerminal && status !== "") screen.write("\r\x1b[K");
  };
  const draw = (): void => {
    if (screen.isTerminal) screen.write(status);
  };
  return {
    show(type, data) {
      clear();
      if (type === "log") {
        const level = String(data["level"]);
        const paint = level === "error" ? red : level === "warn" ? yellow : dim;
        screen.line(`${paint(level.padEnd(5))} ${printable(String(data["message"]))}`);
      } else if (type === "progress") {
        status = progressBar(Number(data["fraction"]), String(data["message"] ?? ""), screen.columns);
      } else if (type === "state") {
        const { state } = data as unknown as TaskJson;
        status = isEnd(state) ? "" : `${styleState(state, screen)} ...`;
      }
      draw();
    },
    end() {
      clear();
      status = "";
    },
  };
}

function parseData(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new NodeError("target_misbehaved", "The node sent an event that is not JSON: check --url", { cause });
  }
}
