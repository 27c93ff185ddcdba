import { printable, type Screen } from "./terminal.ts";

/** How often the line is drawn, at most, in milliseconds. */
const REDRAW_MS = 100;
/** The rate is that of about the last this many milliseconds. */
const RATE_WINDOW_MS = 5000;

/** A line at the bottom of a terminal that shows how far bytes have come; elsewhere nothing. */
export interface ByteProgress {
  /** Bytes so far, all in all. */
  update(bytes: number): void;
  /** Takes the line away. */
  end(): void;
}

export interface ByteProgressOptions {
  readonly label: string;
  readonly totalBytes?: number | undefined;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/** Shows progress with bar, rate and the time that is left, when the screen is a terminal. */
export function byteProgress(screen: Screen, options: ByteProgressOptions): ByteProgress {
  const { label, totalBytes, now = () => performance.now() } = options;
  if (!screen.isTerminal) return { update() {}, end() {} };
  const samples: { readonly at: number; readonly bytes: number }[] = [{ at: now(), bytes: 0 }];
  let drawnAt = -Infinity;
  let shown = false;
  return {
    update(bytes) {
      const at = now();
      if (at - drawnAt < REDRAW_MS && bytes !== totalBytes) return;
      drawnAt = at;
      samples.push({ at, bytes });
      while (samples.length > 2 && at - samples[0]!.at > RATE_WINDOW_MS) samples.shift();
      const first = samples[0]!;
      const rate = at > first.at ? (bytes - first.bytes) / (at - first.at) * 1000 : 0;
      const line = progressText({ label, bytes, totalBytes, rate, columns: screen.columns });
      screen.write(`\r\x1b[K${line}`);
      shown = true;
    },
    end() {
      if (shown) screen.write("\r\x1b[K");
      shown = false;
    },
  };
}

export interface ProgressState {
  readonly label: string;
  readonly bytes: number;
  readonly totalBytes: number | undefined;
  /** Bytes a second. */
  readonly rate: number;
  readonly columns: number;
}

/** `cat.jpg [█████─────]  50 % 1.0 of 2.0 GiB 85.3 MiB/s 0:12 left`, no wider than the screen. */
export function progressText({ label, bytes, totalBytes, rate, columns }: ProgressState): string {
  const speed = rate > 0 ? `${showBytes(rate)}/s` : "";
  const name = shorten(printable(label), Math.max(8, columns - 62));
  if (totalBytes === undefined) return `${name} ${showBytes(bytes)} ${speed}`.trimEnd().slice(0, columns - 1);
  const fraction = totalBytes === 0 ? 1 : Math.min(1, bytes / totalBytes);
  const width = Math.max(4, Math.min(20, columns - name.length - 45));
  const filled = Math.round(fraction * width);
  const percent = String(Math.floor(fraction * 100)).padStart(3);
  const left = rate > 0 && bytes < totalBytes ? `${showTime((totalBytes - bytes) / rate)} left` : "";
  return `${name} [${"█".repeat(filled)}${"─".repeat(width - filled)}] ${percent} % of ${
    showBytes(totalBytes)
  } ${speed} ${left}`
    .trimEnd().slice(0, columns - 1);
}

/** Bytes for people: `0 B`, `1.5 KiB`, `48 MiB`. */
export function showBytes(bytes: number): string {
  let value = bytes;
  let unit = "B";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${unit === "B" ? Math.round(value) : value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** Seconds as `0:07`, `12:30`, `3:05:00`. */
function showTime(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `…${text.slice(text.length - length + 1)}`;
}
