import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { getJson, query } from "../api.ts";
import { TASK_STATES } from "../api-types.ts";
import type { Task } from "../api-types.ts";
import { epoch, sample } from "../live.ts";
import { Empty, Failure, Loaded } from "../parts/states.tsx";
import { TaskRows } from "../parts/task-rows.tsx";
import { useChange, useResource } from "../resource.ts";
import { go, href, route } from "../route.ts";
import { Playground } from "./playground.tsx";
import { TaskDetails } from "./task-details.tsx";

const PAGE_SIZE = 50;

/** Run something, watch it, and see what was run before. */
export function Tasks(): JSX.Element {
  const { rest: id, query: parameters } = route.value;
  return (
    <>
      <Playground />
      <History />
      {id !== "" && (
        <TaskDetails
          key={id}
          id={id}
          target={parameters.get("target") ?? ""}
          onClose={() => go(href("tasks"))}
        />
      )}
    </>
  );
}

interface TaskPage {
  readonly tasks: readonly Task[];
  readonly nextPageToken: string;
}

function listTasks(state: string, pageToken: string, abort?: AbortSignal): Promise<TaskPage> {
  return getJson(`v1/tasks${query({ state, pageToken, pageSize: PAGE_SIZE })}`, abort);
}

function History(): JSX.Element {
  const state = useSignal("");
  const older = useSignal<readonly TaskPage[]>([]);
  const error = useSignal<unknown>(undefined);
  const newest = useResource((abort) => listTasks(state.value, "", abort), [state.value, epoch.value]);
  // Older pages do not change; the first one follows what happens.
  useChange(sample, () => document.hidden || newest.reload());

  const last = older.value.at(-1) ?? newest.value;
  const more = async () => {
    try {
      older.value = [...older.value, await listTasks(state.value, last?.nextPageToken ?? "")];
      error.value = undefined;
    } catch (failure) {
      error.value = failure;
    }
  };
  const choose = (value: string) => {
    state.value = value;
    older.value = [];
  };
  return (
    <section aria-labelledby="history">
      <header class="section-head">
        <h2 id="history">History</h2>
        <label>
          <span class="visually-hidden">State</span>
          <select value={state.value} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">every state</option>
            {TASK_STATES.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
      </header>
      <Loaded of={newest} rows={5}>
        {({ tasks }) => {
          const all = [
            ...new Map([tasks, ...older.value.map((page) => page.tasks)].flat().map((t) => [t.id, t])).values(),
          ];
          if (all.length === 0) {
            return state.value === ""
              ? (
                <Empty icon="tasks" title="No tasks yet">
                  <p>What you run above, and what programs send to this node, shows here.</p>
                </Empty>
              )
              : <Empty icon="tasks" title={`No task is ${state.value}`} />;
          }
          return <TaskRows tasks={all} />;
        }}
      </Loaded>
      {error.value !== undefined && <Failure error={error.value} />}
      {last !== undefined && last.nextPageToken !== "" && (
        <button type="button" class="button" onClick={more}>Show older ones</button>
      )}
    </section>
  );
}
