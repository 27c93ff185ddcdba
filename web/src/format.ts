const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.5 MiB` */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${UNITS[unit]}`;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** `12,345` */
export function count(value: number): string {
  return whole.format(value);
}

/** `1 file`, `2 files`, `12,345 files` */
export function counted(value: number, one: string): string {
  return `${count(value)} ${one}${value === 1 ? "" : "s"}`;
}

/** A number of few digits: `0`, `0.25`, `13.4`, `1,250`. */
export function few(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return whole.format(value);
  return String(Number(value.toFixed(size >= 10 ? 1 : 2)));
}

/** `412 µs`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h` */
export function duration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${few(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${few(s)} s`;
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) =>
    small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
  const total = Math.round(s);
  if (total < 3600) return pair(Math.floor(total / 60), "min", total % 60, "s");
  if (total < 86_400) return pair(Math.floor(total / 3600), "h", Math.floor(total % 3600 / 60), "min");
  return pair(Math.floor(total / 86_400), "d", Math.floor(total % 86_400 / 3600), "h");
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The time of day when it is today's, else the day too. */
export function time(at: string | number): string {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

export function fullTime(at: string | number): string {
  return full.format(new Date(at));
}

/** `3 min ago` */
export function ago(at: string | number, now = Date.now()): string {
  const ms = now - new Date(at).getTime();
  if (ms < 5000) return "just now";
  return `${duration(Math.floor(ms / 1000) * 1000).replace(/ \d+ (s|min|h)$/, "")} ago`;
}

/**
 * A text of a stranger made visible: control characters and those that turn the direction of writing show as what they are, so that
 * a name cannot look like another one.
 */
export function plain(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
    (c) => `⟨${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}
