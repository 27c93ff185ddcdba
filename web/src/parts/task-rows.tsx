import type { JSX } from "preact";
import type { Task, TaskState } from "../api-types.ts";
import { bytes, duration, fullTime, time } from "../format.ts";
import { href } from "../route.ts";
import { Text } from "./states.tsx";

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

/** The page of one task. */
export function taskHref({ id, target = "" }: Pick<Task, "id" | "target">): string {
  return href("tasks", id, { target });
}

/** Tasks as a table, the newest first. */
export function TaskRows({ tasks }: { readonly tasks: readonly Task[] }): JSX.Element {
  return (
    <div class="table-wrap">
      <table>
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Task</th>
            <th scope="col">Function</th>
            <th scope="col" class="wide">Where</th>
            <th scope="col" class="wide num">In, out</th>
            <th scope="col" class="num">Time</th>
            <th scope="col" class="num">Begun</th>
          </tr>
        </thead>
        <tbody>
          {tasks.map((task) => <TaskRow key={`${task.target ?? ""} ${task.id}`} task={task} />)}
        </tbody>
      </table>
    </div>
  );
}

function TaskRow({ task }: { readonly task: Task }): JSX.Element {
  const { state, id, usage, target, createdAt } = task;
  return (
    <tr class="link-row">
      <td>
        <TaskBadge state={state} />
      </td>
      <td class="name">
        <a href={taskHref(task)}>
          <Text of={id} />
        </a>
      </td>
      <td class="name">
        <Text of={`${task.plugin || task.resolvedPlugin || "default"} ${task.function}`} />
      </td>
      <td class="wide quiet">{target === undefined ? "here" : <Text of={target} />}</td>
      <td class="wide num quiet">
        {usage === undefined ? "" : `${bytes(usage.inputBytes)}, ${bytes(usage.outputBytes)}`}
      </td>
      <td class="num">{usage === undefined ? "" : duration(usage.wallMicros / 1000)}</td>
      <td class="num quiet" title={fullTime(createdAt)}>{time(createdAt)}</td>
    </tr>
  );
}
