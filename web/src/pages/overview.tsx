import { computed, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useMemo } from "preact/hooks";
import { getJson, query } from "../api.ts";
import type { DayTotal, ShardUsage, Stats, Task } from "../api-types.ts";
import { features } from "../features.ts";
import { bytes, count, counted, duration, few, fullTime } from "../format.ts";
import { cpu, epoch, node, sample } from "../live.ts";
import { Chart } from "../parts/chart.tsx";
import { Copy } from "../parts/copy.tsx";
import { DayBars } from "../parts/day-bars.tsx";
import { Empty, Failure, Loaded, Text } from "../parts/states.tsx";
import { TaskRows } from "../parts/task-rows.tsx";
import { useChange, useResource } from "../resource.ts";
import type { Resource } from "../resource.ts";
import { href } from "../route.ts";
import { rateOf, useStats } from "../stats.ts";
import { tokenOf } from "../tokens.ts";

type Span = "1h" | "24h";
const SPANS: readonly (readonly [Span, string])[] = [["1h", "Hour"], ["24h", "Day"]];
const RECENT_TASKS = 6;

/** How the node is, at a glance: whether it is well, what it does now, and what it did. */
export function Overview(): JSX.Element {
  const span = useSignal<Span>("1h");
  const stats = useResource<Stats>((abort) => getJson(`v1/stats${query({ span: span.value })}`, abort), [
    span.value,
    epoch.value,
  ]);
  const recent = useResource<{ tasks: readonly Task[] }>(
    (abort) => getJson(`v1/tasks${query({ pageSize: RECENT_TASKS })}`, abort),
    [epoch.value],
  );
  useChange(sample, recent.reload);
  return (
    <>
      <Alerts />
      <Tiles />
      <Trade />
      <section aria-labelledby="load">
        <header class="section-head">
          <h2 id="load">Load</h2>
          <div class="segments" role="group" aria-label="How far back">
            {SPANS.map(([value, label]) => (
              <button
                key={value}
                type="button"
                aria-pressed={span.value === value}
                onClick={() => span.value = value}
              >
                {label}
              </button>
            ))}
          </div>
        </header>
        {stats.error !== undefined && <Failure error={stats.error} retry={stats.reload} />}
        {(stats.value !== undefined || stats.error === undefined) && (
          <Charts stats={stats.value} grows={span.value === "1h"} />
        )}
      </section>
      <section aria-labelledby="recent">
        <header class="section-head">
          <h2 id="recent">Latest tasks</h2>
          <a href={href("tasks")}>All tasks</a>
        </header>
        <RecentTasks tasks={recent} />
      </section>
      <About />
    </>
  );
}

/** What the node's operator should know, above all else. */
function Alerts(): JSX.Element | null {
  const alerts = sample.value?.alerts ?? [];
  if (alerts.length === 0) return null;
  return (
    <section aria-label="Alerts" aria-live="polite" data-testid="alerts">
      {alerts.map(({ name, message, since }) => (
        <div key={name} class="banner warning">
          <span class="dot" aria-hidden="true" />
          <div>
            <strong>{name.replaceAll("_", " ")}</strong> <span class="small quiet">since {fullTime(since)}</span>
            <p>
              <Text of={message} />
            </p>
          </div>
        </div>
      ))}
    </section>
  );
}

function RecentTasks({ tasks }: { readonly tasks: Resource<{ tasks: readonly Task[] }> }): JSX.Element {
  return (
    <Loaded of={tasks}>
      {({ tasks: list }) =>
        list.length > 0 ? <TaskRows tasks={list} /> : (
          <Empty icon="tasks" title="No tasks yet">
            <p>
              <a href={href("tasks")}>Run the first one</a>; it takes a second.
            </p>
          </Empty>
        )}
    </Loaded>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: ComponentChildren;
  readonly note?: ComponentChildren;
  readonly tone?: "ok" | "bad";
}

function Tile({ name, value, note, tone }: TileProps): JSX.Element {
  return (
    <div class={`tile ${tone ?? ""}`}>
      <dt>{name}</dt>
      <dd>
        <b>{value}</b>
        {note !== undefined && <span class="small quiet">{note}</span>}
      </dd>
    </div>
  );
}

function Tiles(): JSX.Element {
  const now = sample.value;
  const values = now?.values ?? {};
  const show = (value: number | undefined, how: (value: number) => string) => value === undefined ? "–" : how(value);
  const ready = now?.ready;
  const failed = (values["tasksFailed"] ?? 0) + (values["tasksExpired"] ?? 0) + (values["tasksRejected"] ?? 0);
  return (
    <dl class="tiles">
      <Tile
        name="State"
        value={ready === undefined ? "–" : ready.ready ? "Ready" : "Not ready"}
        note={ready === undefined ? "" : ready.ready ? "takes tasks" : ready.reasons.join("; ")}
        {...(ready === undefined ? {} : { tone: ready.ready ? "ok" : "bad" })}
      />
      <Tile
        name="Running"
        value={show(values["tasksRunning"], count)}
        note={`${show(values["tasksQueued"], count)} waiting`}
      />
      <Tile
        name="Tasks done"
        value={show(values["tasksSucceeded"], count)}
        note={failed === 0 ? "none failed" : `${count(failed)} failed`}
      />
      <Tile name="Memory" value={show(values["memoryBytes"], bytes)} note="resident" />
      <Tile
        name="Processor"
        value={show(cpu.value, (share) => `${few(share * 100)} %`)}
        note="of one core"
      />
    </dl>
  );
}

/** Sums and what is kept change slowly. */
const now30s = computed(() => Math.floor((sample.value?.at ?? 0) / 30_000));

/** What the node keeps for others, and what it earned and spent; nothing of what it has no part in. */
function Trade(): JSX.Element | null {
  const keeps = features.value.has("shards");
  const isPaid = features.value.has("payments");
  if (!keeps && !isPaid) return null;
  return (
    <section aria-labelledby="trade" class="trade">
      <h2 id="trade">Trade</h2>
      {keeps && <Kept />}
      {isPaid && <Money />}
    </section>
  );
}

function Kept(): JSX.Element {
  const usage = useResource<ShardUsage>((abort) => getJson("v1/shards/usage", abort), [epoch.value]);
  useChange(now30s, usage.reload);
  return (
    <>
      {usage.error !== undefined && <Failure error={usage.error} retry={usage.reload} />}
      {(usage.value !== undefined || usage.error === undefined) && <KeptPanel usage={usage.value} />}
    </>
  );
}

/** Without figures it has its place already, so that nothing moves when they come. */
function KeptPanel({ usage }: { readonly usage: ShardUsage | undefined }): JSX.Element {
  const used = (usage?.bytes ?? 0) + (usage?.uploadBytes ?? 0);
  return (
    <dl class="panel kept">
      <dt>Kept for others</dt>
      <dd>
        <span>
          <b>{usage === undefined ? "–" : bytes(used)}</b>
          {usage !== undefined && ` of ${bytes(usage.quotaBytes)}`}
        </span>
        <span class="small quiet">
          {usage !== undefined && `${counted(usage.shards, "shard")}, ${bytes(usage.freeBytes)} left`}
        </span>
        <progress value={used} max={Math.max(usage?.quotaBytes ?? 1, 1)} aria-label="Quota used" />
      </dd>
    </dl>
  );
}

function Money(): JSX.Element {
  const totals = useResource<{ totals: readonly DayTotal[] }>(
    (abort) => getJson("v1/payments/totals", abort),
    [epoch.value],
  );
  useChange(now30s, totals.reload);
  return (
    <Loaded of={totals} rows={3}>
      {({ totals: list }) => {
        const plots = DIRECTIONS.flatMap(([direction, title]) => {
          const one = list.filter((total) => total.direction === direction);
          return [...new Set(one.map(({ token }) => token))].map((token) => ({
            key: `${direction} ${token}`,
            title,
            token,
            totals: one.filter((total) => total.token === token),
          }));
        });
        if (plots.length === 0) {
          return <p class="quiet">Nothing earned or spent yet; the plots begin with the first paid task.</p>;
        }
        return (
          <div class="charts">
            {plots.map(({ key, title, token, totals: of }) => (
              <DayBars
                key={key}
                title={title}
                totals={of}
                token={tokenOf(token)}
                now={sample.value?.at ?? Date.now()}
              />
            ))}
          </div>
        );
      }}
    </Loaded>
  );
}

const DIRECTIONS = [["earned", "Earned"], ["spent", "Spent"]] as const;

const NO_STATS: Stats = { stepMs: 0, at: [], values: {} };

/** Without readings the plots are empty and have their places already, so that nothing moves when they come. */
function Charts({ stats, grows }: { readonly stats: Stats | undefined; readonly grows: boolean }): JSX.Element {
  const { at, values } = useStats(stats ?? NO_STATS, grows && stats !== undefined);
  const has = (name: string, feature: string) =>
    at.length < 2 ? features.value.has(feature) : values[name] !== undefined;
  const lines = useMemo(() => {
    const rate = (name: string) => rateOf(at, values[name] ?? []);
    const now = (name: string) => values[name] ?? [];
    const percent = rate("cpuSeconds").map((cores) => cores === null ? null : cores * 100);
    return {
      tasks: [
        { label: "succeeded", color: "--ok", values: rate("tasksSucceeded") },
        { label: "failed", color: "--bad", values: rate("tasksFailed") },
      ],
      queue: [
        { label: "running", color: "--accent", values: now("tasksRunning") },
        { label: "waiting", color: "--warn", values: now("tasksQueued") },
      ],
      cpu: [{ label: "of one core", color: "--violet", values: percent }],
      files: [
        { label: "stored", color: "--accent", values: rate("filePutBytes") },
        { label: "read", color: "--teal", values: rate("fileGetBytes") },
      ],
      shards: [{ label: "taken and given", color: "--violet", values: rate("shardBytes") }],
      memory: [{ label: "resident", color: "--teal", values: now("memoryBytes") }],
    };
  }, [at, values]);
  const common = {
    at,
    note: stats === undefined ? "" : "The node started just now; this begins with its second reading.",
  };
  return (
    <div class="charts">
      <Chart {...common} title="Tasks a second" lines={lines.tasks} />
      <Chart {...common} title="Tasks now" lines={lines.queue} />
      {has("filePutBytes", "files") && (
        <Chart {...common} title="Own files, a second" lines={lines.files} show={bytes} binary />
      )}
      {has("shardBytes", "shards") && (
        <Chart {...common} title="Shards of others, a second" lines={lines.shards} show={bytes} binary />
      )}
      <Chart {...common} title="Processor" lines={lines.cpu} show={(value) => `${few(value)} %`} />
      <Chart {...common} title="Memory" lines={lines.memory} show={bytes} binary />
    </div>
  );
}

function About(): JSX.Element | null {
  const info = node.value;
  if (info === undefined) return null;
  const { limits } = info;
  return (
    <section aria-labelledby="about">
      <h2 id="about">This node</h2>
      <dl class="facts">
        <dt>Name</dt>
        <dd>
          <Text of={info.name} />
        </dd>
        <dt>Node id</dt>
        <dd>
          <Copy text={info.nodeId} />
        </dd>
        <dt>Version</dt>
        <dd>{info.version}</dd>
        <dt>A task may have</dt>
        <dd>
          {bytes(limits.inputBytes)} of input, {bytes(limits.outputBytes)} of output, {bytes(limits.memoryBytes)}{" "}
          of memory, {duration(limits.timeoutMs)}
        </dd>
      </dl>
    </section>
  );
}
