import { signal } from "@preact/signals";
import { call, getJson } from "./api.ts";
import { features } from "./features.ts";

/** An upload as the node holds it. */
export interface HeldUpload {
  readonly id: string;
  readonly name: string;
  readonly offset: number;
  readonly sizeBytes?: number;
  readonly source?: string;
  readonly active: boolean;
  readonly state: "receiving" | "storing" | "stored";
  readonly expiresAt: string;
}

/** Uploads that the node holds and nobody sends, whoever began them. */
export const interrupted = signal<readonly HeldUpload[]>([]);

/** Asks the node again. */
export async function lookForInterrupted(): Promise<readonly HeldUpload[]> {
  if (!features.value.has("uploads")) return [];
  const { uploads } = await getJson<{ uploads: readonly HeldUpload[] }>("v1/uploads");
  interrupted.value = uploads.filter(({ state, active }) => state === "receiving" && !active);
  return interrupted.value;
}

export async function giveUp({ id }: { readonly id: string }): Promise<void> {
  interrupted.value = interrupted.value.filter((one) => one.id !== id);
  await call("DELETE", `v1/uploads/${id}`);
}

/** By what a file is known again: a browser tells no more of it than this. */
export function sourceOf({ size, lastModified }: File): string {
  return `${size}-${lastModified}`;
}
