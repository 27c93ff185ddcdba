import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { Task } from "../api-types.ts";
import { bytes, count, duration, fullTime } from "../format.ts";
import { Copy } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Text } from "../parts/states.tsx";
import { TaskBadge } from "../parts/task-rows.tsx";
import { TaskWatch } from "../task-run.ts";
import { ReceiptView } from "./receipt-view.tsx";
import { TaskProgress } from "./task-progress.tsx";

export interface TaskDetailsProps {
  readonly id: string;
  readonly target: string;
  readonly onClose: () => void;
}

/** All there is to know of one task. */
export function TaskDetails({ id, target, onClose }: TaskDetailsProps): JSX.Element {
  const watch = useMemo(() => new TaskWatch(), []);
  useEffect(() => {
    watch.watch(id, target);
    return () => watch.stop();
  }, [id, target]);
  const view = watch.view.value;
  return (
    <Dialog title="Task" side onClose={onClose}>
      {view.task !== undefined && <Facts task={view.task} />}
      <TaskProgress view={view} target={target} bare />
      {view.task !== undefined && <Signed task={view.task} />}
    </Dialog>
  );
}

/** The receipt, or why there is none. */
function Signed({ task }: { readonly task: Task }): JSX.Element | null {
  if (task.receipt !== undefined) return <ReceiptView task={task} receipt={task.receipt} />;
  return task.state === "succeeded" ? <p class="quiet small">Its provider has signed no receipt.</p> : null;
}

function Facts({ task }: { readonly task: Task }): JSX.Element {
  const { usage, limits } = task;
  const rows: [string, JSX.Element | string][] = [
    ["State", <TaskBadge key="state" state={task.state} />],
    ["Id", <Copy key="id" text={task.id} />],
    ["Function", <Text key="function" of={`${task.resolvedPlugin || task.plugin} ${task.function}`} />],
    ["Where", task.target === undefined ? "this node" : <Text key="target" of={task.target} />],
    ["Accepted", fullTime(task.createdAt)],
  ];
  if (task.startedAt !== undefined) rows.push(["Begun", fullTime(task.startedAt)]);
  if (task.finishedAt !== undefined) rows.push(["Ended", fullTime(task.finishedAt)]);
  if (task.attempts > 1) rows.push(["Attempts", count(task.attempts)]);
  if (usage !== undefined) {
    rows.push(["Took", duration(usage.wallMicros / 1000)]);
    rows.push(["Input, output", `${bytes(usage.inputBytes)}, ${bytes(usage.outputBytes)}`]);
    if (usage.instructions > 0) rows.push(["Instructions", count(usage.instructions)]);
    if (usage.gpuMicros !== undefined) rows.push(["On the GPU", duration(usage.gpuMicros / 1000)]);
  }
  if (task.nondeterministic !== undefined) {
    rows.push([
      "Depends on",
      `${task.nondeterministic.join(", ")} beside its input: run again it may give something else`,
    ]);
  }
  // Of a task that was waited for only those that were asked for are known here.
  const bounds = [
    limits.timeoutMs > 0 && duration(limits.timeoutMs),
    limits.memoryBytes > 0 && `${bytes(limits.memoryBytes)} memory`,
    limits.outputBytes > 0 && `${bytes(limits.outputBytes)} output`,
  ].filter((bound) => bound !== false);
  if (bounds.length > 0) rows.push(["Bounds", bounds.join(", ")]);
  if (task.pluginSha256 !== "") rows.push(["Module", <Copy key="module" text={task.pluginSha256} short />]);
  rows.push(["Input SHA-256", <Copy key="input" text={task.inputSha256} short />]);
  if (task.outputSha256 !== undefined) {
    rows.push(["Output SHA-256", <Copy key="output" text={task.outputSha256} short />]);
  }
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
