import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "./icons.tsx";
import { Text } from "./states.tsx";

interface Toast {
  readonly id: number;
  readonly kind: "good" | "bad";
  readonly text: string;
}

const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

const GOOD_MS = 4000;
const BAD_MS = 10_000;

/** Says in passing that something went well, or not. */
export function toast(kind: Toast["kind"], text: string): void {
  const id = ++lastId;
  toasts.value = [...toasts.value.slice(-3), { id, kind, text }];
  setTimeout(() => drop(id), kind === "good" ? GOOD_MS : BAD_MS);
}

function drop(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, kind, text }) => (
        <div key={id} class={`toast ${kind}`}>
          <Icon name={kind === "good" ? "check" : "warn"} />
          <span>
            <Text of={text} />
          </span>
          <button type="button" class="plain" aria-label="Dismiss" onClick={() => drop(id)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
