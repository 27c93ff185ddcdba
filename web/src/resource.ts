import { useSignal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Something that is fetched: nothing yet, a value, or why there is none. A stale value stays while a new one is awaited. */
export interface Resource<T> {
  readonly value: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  reload(): void;
}

/** Fetches when `keys` change, and again on `reload()`. */
export function useResource<T>(load: (abort: AbortSignal) => Promise<T>, keys: readonly unknown[]): Resource<T> {
  const state = useSignal<Omit<Resource<T>, "reload">>({ value: undefined, error: undefined, loading: true });
  const turn = useSignal(0);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    state.value = { ...state.peek(), loading: true };
    load(signal).then(
      (value) => {
        if (!signal.aborted) state.value = { value, error: undefined, loading: false };
      },
      (error: unknown) => {
        if (!signal.aborted) state.value = { ...state.peek(), error, loading: false };
      },
    );
    return () => controller.abort();
  }, [...keys, turn.value]);
  return { ...state.value, reload: () => turn.value++ };
}

/** Runs an action when a signal changes, not at first. */
export function useChange<T>(signal: ReadonlySignal<T>, action: () => void): void {
  const first = useSignal(true);
  const value = signal.value;
  useEffect(() => {
    if (first.peek()) first.value = false;
    else action();
  }, [value]);
}
