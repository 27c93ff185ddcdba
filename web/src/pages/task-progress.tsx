import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { query } from "../api.ts";
import { bytes, counted, duration } from "../format.ts";
import { Content } from "../parts/content.tsx";
import { Failure, Loading, Text } from "../parts/states.tsx";
import { TaskBadge, taskHref } from "../parts/task-rows.tsx";
import { toast } from "../parts/toasts.tsx";
import { cancelTask } from "../task-run.ts";
import type { LogLine, TaskView } from "../task-run.ts";
import { messageOf } from "../api.ts";

export interface TaskProgressProps {
  readonly view: TaskView;
  readonly target: string;
  /** Leaves out what the surroundings tell. */
  readonly bare?: boolean;
}

/** A task as it goes: state, progress, log, and in the end its output. */
export function TaskProgress(
  { view: { task, log, progress, error }, target, bare = false }: TaskProgressProps,
): JSX.Element {
  if (task === undefined) return error === undefined ? <Loading rows={2} /> : <Failure error={error} />;
  const ended = task.finishedAt !== undefined;
  const cancel = () => cancelTask(task.id, target).catch((failure: unknown) => toast("bad", messageOf(failure)));
  return (
    <>
      {!bare && (
        <div class="result-head">
          <TaskBadge state={task.state} />
          {task.usage !== undefined && (
            <span class="quiet small">
              {duration(task.usage.wallMicros / 1000)} · {bytes(task.usage.outputBytes)}
              {task.usage.instructions > 0 && ` · ${counted(task.usage.instructions, "instruction")}`}
            </span>
          )}
          <a class="small" href={taskHref(task)}>details</a>
          {!ended && <button type="button" class="button small" onClick={cancel}>Cancel</button>}
        </div>
      )}
      {!ended && (
        <div class="progress">
          <progress {...(progress === undefined ? {} : { value: progress.fraction })} max={1} aria-label="Progress" />
          {progress !== undefined && progress.message !== "" && (
            <span class="small quiet">
              <Text of={progress.message} />
            </span>
          )}
        </div>
      )}
      {task.message !== undefined && (
        <div class="failure">
          <div>
            <strong>{task.reason}</strong>
            <p>
              <Text of={task.message} />
            </p>
          </div>
        </div>
      )}
      {log.length > 0 && <LogLines lines={log} />}
      {task.state === "succeeded" && (
        <Content
          path={`v1/tasks/${encodeURIComponent(task.id)}/output${query({ target: task.target ?? target })}`}
          type={task.outputContentType ?? ""}
          sizeBytes={task.usage?.outputBytes ?? 0}
          name={`${task.id}.output`}
        />
      )}
    </>
  );
}

function LogLines({ lines }: { readonly lines: readonly LogLine[] }): JSX.Element {
  const end = useRef<HTMLOListElement>(null);
  useEffect(() => end.current?.scrollTo({ top: end.current.scrollHeight }), [lines]);
  return (
    <ol ref={end} class="log" tabIndex={0} aria-label="Log">
      {lines.map(({ level, message }, i) => (
        <li key={i} class={level}>
          <span class="level">{level}</span> <Text of={message} />
        </li>
      ))}
    </ol>
  );
}
