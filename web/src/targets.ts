import { signal } from "@preact/signals";

const KEY = "velas-sphere.targets";
const MAX = 8;

function stored(): readonly string[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value.filter((one) => typeof one === "string").slice(0, MAX) : [];
  } catch {
    return [];
  }
}

/** Providers that were used from this browser, the latest first. */
export const targets = signal<readonly string[]>(stored());

export function rememberTarget(target: string): void {
  if (target === "") return;
  targets.value = [target, ...targets.value.filter((one) => one !== target)].slice(0, MAX);
  try {
    localStorage.setItem(KEY, JSON.stringify(targets.value));
  } catch {
    // Without storage they last as long as the page.
  }
}
