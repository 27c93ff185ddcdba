import { effect, signal } from "@preact/signals";
import { getJson } from "./api.ts";
import { epoch } from "./live.ts";

/** What this node's API has, by the names of its entry; pages of parts that it lacks are not shown. */
export const features = signal<ReadonlySet<string>>(new Set());

effect(() => {
  if (epoch.value > 0) void look();
});

async function look(): Promise<void> {
  const { links } = await getJson<{ links: Record<string, string> }>("./");
  features.value = new Set(Object.keys(links));
}
