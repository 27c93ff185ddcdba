import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

export interface WindowOptions {
  readonly rows: number;
  readonly rowHeight: number;
}

/** Rows that are made beyond those in sight, so that scrolling shows no gaps. */
const BEYOND = 15;
const FIRST = 60;

/**
 * Which rows of a long table are in sight as the page scrolls: only these are made, since ten thousand rows would take a browser
 * seconds. All rows have the same height.
 */
export function useWindow(
  body: RefObject<HTMLElement | null>,
  { rows, rowHeight }: WindowOptions,
): { readonly start: number; readonly end: number } {
  const range = useSignal({ start: 0, end: FIRST });
  useLayoutEffect(() => {
    const look = () => {
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const first = Math.floor(-top / rowHeight);
      const start = Math.max(0, Math.min(first - BEYOND, rows - FIRST));
      const end = Math.max(FIRST, first + Math.ceil(innerHeight / rowHeight) + BEYOND);
      const now = range.peek();
      if (now.start !== start || now.end !== end) range.value = { start, end };
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [rows, rowHeight]);
  return { start: range.value.start, end: Math.min(range.value.end, rows) };
}
