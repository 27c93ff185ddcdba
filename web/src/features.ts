import { effect, signal } from "@preact/signals";
import { getJson } from "./api.ts";
import { epoch } from "./live.ts";

/** What this node's API has, by the names of its entry; pages of parts that it lacks are not shown. */
export const features = signal<ReadonlySet<string>>(new Set());

/** Whether the node has told, or does not: what is drawn before moves when it has. */
export const featuresAsked = signal(false);

effect(() => {
  // At the start it was asked already, unless it was not there or wanted a login.
  if (epoch.value === 1 && features.peek().size > 0) return;
  void look().catch(() => {}).finally(() => featuresAsked.value = true);
});

async function look(): Promise<void> {
  const { links } = await getJson<{ links: Record<string, string> }>("./");
  features.value = new Set(Object.keys(links));
}
