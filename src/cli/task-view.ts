import {
  type ErrorCode,
  isTaskReceiptSigned,
  type TaskLimits,
  type TaskReceipt,
  type TaskState,
  type Usage,
} from "../core/mod.ts";
import { formatDuration, formatSize } from "../config/mod.ts";
import { formatTable, printable, type Screen } from "./terminal.ts";

/** A task's record as `/v1` answers it: like TaskRecord, with times as RFC 3339. */
export interface TaskJson {
  readonly id: string;
  readonly requester: string;
  readonly target?: string;
  readonly plugin: string;
  readonly resolvedPlugin: string;
  readonly function: string;
  readonly contentType: string;
  readonly limits: TaskLimits;
  readonly priority: number;
  readonly state: TaskState;
  readonly reason?: ErrorCode;
  readonly message?: string;
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly expiresAt?: string;
  readonly attempts: number;
  readonly usage?: Usage;
  readonly outputContentType?: string;
  readonly nondeterministic?: readonly string[];
  readonly inputSha256: string;
  readonly outputSha256?: string;
  readonly receipt?: TaskReceipt;
}

/** A state in the colour of its mood. */
export function styleState(state: TaskState, { colors }: Screen): string {
  if (state === "succeeded") return colors.green(state);
  if (state === "failed" || state === "expired") return colors.red(state);
  return state === "canceled" ? colors.yellow(state) : colors.cyan(state);
}

/** A task in a few lines. */
export function showTask(task: TaskJson, screen: Screen): void {
  const { dim } = screen.colors;
  const rows: [string, string][] = [
    ["id", task.id],
    ["state", styleState(task.state, screen) + (task.reason === undefined ? "" : ` (${task.reason})`)],
  ];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") rows.push([name, printable(value)]);
  };
  add("reason", task.message);
  add(
    "plugin",
    `${task.resolvedPlugin || task.plugin || "(default)"}${task.function === "" ? "" : ` ${task.function}`}`,
  );
  add("target", task.target);
  add("created", task.createdAt);
  add("started", task.startedAt);
  add("finished", task.finishedAt);
  add("kept until", task.expiresAt);
  add("attempts", String(task.attempts));
  add("limits", showLimits(task.limits));
  if (task.usage !== undefined) add("used", showUsage(task.usage));
  add("output", task.outputContentType);
  if (task.nondeterministic !== undefined) add("depends on", showCauses(task.nondeterministic));
  if (task.receipt !== undefined) add("receipt", `signed by ${task.receipt.provider}`);
  for (const line of formatTable(rows.map(([name, value]) => [dim(name), value]))) screen.line(line);
}

/** A receipt in a few lines, the signature looked at. */
export function showReceipt(receipt: TaskReceipt, screen: Screen): void {
  const { dim, green, red } = screen.colors;
  const { usage, terms, nondeterministic } = receipt;
  const rows: [string, string][] = [
    ["task", receipt.taskId],
    ["provider", receipt.provider],
    ["requester", receipt.requester],
    ["plugin", `${receipt.plugin} ${receipt.function}`],
    ["module", receipt.pluginSha256 || "(external plugin)"],
    ["input", receipt.inputSha256],
    ["output", receipt.outputSha256],
    ["used", showUsage(usage)],
    ...(nondeterministic === undefined ? [] : [["depends on", showCauses(nondeterministic)] as [string, string]]),
    ["finished", new Date(receipt.finishedAt).toISOString()],
    ["price", terms === undefined ? "free" : `${terms.charge} wei on channel ${terms.channelId}`],
    ...(terms === undefined ? [] : [["quote", terms.quote] as [string, string]]),
  ];
  const lines = rows.map(([name, value]) => [dim(name), printable(value)]);
  const isGood = isTaskReceiptSigned(receipt);
  lines.push([dim("signature"), isGood ? green("good") : red("not the provider's")]);
  for (const line of formatTable(lines)) screen.line(line);
}

function showLimits({ timeoutMs, memoryBytes, outputBytes, instructions }: TaskLimits): string {
  const budget = instructions === undefined ? "" : `, ${instructions} instructions`;
  return `${formatDuration(timeoutMs)}, ${formatSize(memoryBytes)} memory, ${formatSize(outputBytes)} output${budget}`;
}

/** What makes a result another one when the task is run again, in words. */
function showCauses(causes: readonly string[]): string {
  return `${causes.join(", ")} beside its input (non-deterministic: run again it may give something else)`;
}

/** What a task consumed, in words. */
export function showUsage({ wallMicros, inputBytes, outputBytes, instructions, gpuMicros }: Usage): string {
  const time = wallMicros < 10_000 ? `${(wallMicros / 1000).toFixed(2)} ms` : `${Math.round(wallMicros / 1000)} ms`;
  const metered = instructions === 0 ? "" : `, ${instructions} instructions`;
  const onGpu = gpuMicros === undefined ? "" : `, ${(gpuMicros / 1000).toFixed(2)} ms on the GPU`;
  return `${time}, ${inputBytes} B in, ${outputBytes} B out${metered}${onGpu}`;
}

/** Tasks, a line each. */
export function showTasks(tasks: readonly TaskJson[], screen: Screen): void {
  const { bold, dim } = screen.colors;
  const rows = tasks.map((task) => [
    task.id,
    styleState(task.state, screen),
    `${task.resolvedPlugin || task.plugin || "(default)"}${task.function === "" ? "" : ` ${task.function}`}`,
    task.createdAt,
    dim(printable(task.message ?? "").slice(0, 80)),
  ]);
  for (const line of formatTable([["ID", "STATE", "PLUGIN", "CREATED", ""].map(bold), ...rows])) screen.line(line);
}

/** A bar for the last line of a terminal: `[██████────] 62 % halfway`, no wider than the screen. */
export function progressBar(fraction: number, message: string, columns: number): string {
  const done = Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0));
  const width = Math.max(10, Math.min(30, columns - 40));
  const filled = Math.round(done * width);
  const bar = `[${"█".repeat(filled)}${"─".repeat(width - filled)}] ${String(Math.round(done * 100)).padStart(3)} %`;
  const words = printable(message).replaceAll(/\s+/g, " ");
  return `${bar} ${words}`.slice(0, Math.max(width + 8, columns - 1)).trimEnd();
}
