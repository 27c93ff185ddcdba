import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { plain } from "../format.ts";

const SHOWN_MS = 1500;

/** A long name that a click copies. */
export function Copy({ text, short = false }: { readonly text: string; readonly short?: boolean }): JSX.Element {
  const copied = useSignal(false);
  const shown = short && text.length > 16 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      copied.value = true;
      setTimeout(() => copied.value = false, SHOWN_MS);
    } catch {
      // Without permission the text can still be selected.
    }
  };
  return (
    <button type="button" class="copy" title={copied.value ? "Copied" : `Copy ${plain(text)}`} onClick={copy}>
      <code>
        <bdi>{plain(shown)}</bdi>
      </code>
      <span class="small quiet" aria-live="polite">{copied.value ? "copied" : ""}</span>
    </button>
  );
}
