import { effect, signal, untracked } from "@preact/signals";
import { getJson, loginNeeded, reachable } from "./api.ts";
import type { NodeInfo, Sample } from "./api-types.ts";
import { lookAtSession, may } from "./session.ts";

/** The connection to the node: `gone` when it was there and does not answer. */
export const connection = signal<"connecting" | "live" | "gone">("connecting");

/** The latest readings. */
export const sample = signal<Sample | undefined>(undefined);

/** Processor time that the node used between the two latest readings, as a share of one core. */
export const cpu = signal<number | undefined>(undefined);

/** Who the node is; asked for again whenever it comes back, since it may have been upgraded. */
export const node = signal<NodeInfo | undefined>(undefined);

/** Counts the times the node came (back); what a page shows of before is stale when it changes. */
export const epoch = signal(0);

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
/** How often a page that may not watch the node asks whether it is there. */
const QUIET_MS = 8000;

let source: EventSource | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let waitMs = FIRST_WAIT_MS;

/**
 * Keeps one stream of node events open while the page can be seen, and comes back by itself. A hidden page lets go of it: browsers
 * allow few connections to a host, and a row of forgotten tabs would use them all up. A token without the scope for the stream has the page
 * ask now and then whether the node is there.
 */
export function startLive(): void {
  document.addEventListener("visibilitychange", () => document.hidden ? stop() : connect());
  effect(() => {
    if (!loginNeeded.value) connect();
  });
}

function stop(): void {
  clearTimeout(timer);
  source?.close();
  source = undefined;
}

function connect(): void {
  stop();
  if (document.hidden || loginNeeded.peek()) return;
  if (!untracked(() => may(["read"]))) return void comeBack();
  const opened = source = new EventSource("v1/events");
  opened.addEventListener("sample", (event) => {
    const before = sample.peek();
    const now = JSON.parse(event.data as string) as Sample;
    const used = (now.values["cpuSeconds"] ?? 0) - (before?.values["cpuSeconds"] ?? 0);
    const seconds = (now.at - (before?.at ?? 0)) / 1000;
    if (before !== undefined && seconds > 0.5 && used >= 0) cpu.value = used / seconds;
    sample.value = now;
  });
  opened.addEventListener("error", () => {
    if (source !== opened) return;
    stop();
    connection.value = connection.peek() === "connecting" ? "connecting" : "gone";
    void comeBack();
  });
  opened.addEventListener("open", () => {
    waitMs = FIRST_WAIT_MS;
    connection.value = "live";
    reachable.value = true;
    arrive();
    void lookAtSession().catch(() => {});
  });
}

function arrive(): void {
  epoch.value++;
  void getJson<NodeInfo>("v1/node").then((info) => node.value = info, () => {});
}

/** An EventSource does not say why it failed; a call does (a login may be needed, or a scope). */
async function comeBack(): Promise<void> {
  try {
    await lookAtSession();
    if (!untracked(() => may(["read"]))) return watchQuietly();
  } catch {
    if (loginNeeded.peek()) return;
    if (!reachable.peek()) connection.value = "gone";
  }
  clearTimeout(timer);
  timer = setTimeout(connect, waitMs);
  waitMs = Math.min(waitMs * 1.6, LONGEST_WAIT_MS);
}

/** The node is there, and the page asks again later. */
function watchQuietly(): void {
  waitMs = FIRST_WAIT_MS;
  sample.value = undefined;
  if (connection.peek() !== "live") {
    connection.value = "live";
    arrive();
  }
  clearTimeout(timer);
  timer = setTimeout(connect, QUIET_MS);
}
