import type { JSX } from "preact";
import type { Task, TaskState } from "../api-types.ts";
import { bytes, duration, fullTime, time } from "../format.ts";
import { href } from "../route.ts";
import { Text } from "./states.tsx";
import { Table } from "./table.tsx";

const TONES: Readonly<Record<TaskState, string>> = {
  queued: "warn",
  running: "accent",
  succeeded: "ok",
  failed: "bad",
  canceled: "dim",
  expired: "bad",
};

export function TaskBadge({ state }: { readonly state: TaskState }): JSX.Element {
  return <span class={`badge ${TONES[state]}`}>{state}</span>;
}

/** The page of one task. This node knows where it sent it, and what became of it when its provider is gone. */
export function taskHref({ id }: Pick<Task, "id">): string {
  return href("tasks", id);
}

/** Tasks as a table, the newest first. */
export function TaskRows({ tasks }: { readonly tasks: readonly Task[] }): JSX.Element {
  return (
    <Table
      columns={["State", "Task", "Function", ["Where", "wide"], ["In, out", "wider num"], ["Time", "wider num"], [
        "Begun",
        "wide num",
      ]]}
    >
      {tasks.map((task) => <TaskRow key={`${task.target ?? ""} ${task.id}`} task={task} />)}
    </Table>
  );
}

/** The plugin as the task named it; a module, which it names by its SHA-256, by the name that it has. */
function pluginOf({ plugin, resolvedPlugin }: Task): string {
  const isModule = /^[0-9a-f]{64}$/i.test(plugin);
  return isModule ? resolvedPlugin || `${plugin.slice(0, 8)}…` : plugin || resolvedPlugin || "default";
}

function TaskRow({ task }: { readonly task: Task }): JSX.Element {
  const { state, id, usage, target, createdAt } = task;
  return (
    <tr class="link-row">
      <td>
        <TaskBadge state={state} />
      </td>
      <td class="name main">
        <a href={taskHref(task)}>
          <Text of={id} />
        </a>
      </td>
      <td class="name">
        <Text of={`${pluginOf(task)} ${task.function}`} />
      </td>
      <td class="wide name quiet">{target === undefined ? "here" : <Text of={target} />}</td>
      <td class="wider num quiet">
        {usage === undefined ? "" : `${bytes(usage.inputBytes)}, ${bytes(usage.outputBytes)}`}
      </td>
      <td class="wider num">{usage === undefined ? "" : duration(usage.wallMicros / 1000)}</td>
      <td class="wide num quiet" title={fullTime(createdAt)}>{time(createdAt)}</td>
    </tr>
  );
}
