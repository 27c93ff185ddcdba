const DURATIONS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const SIZES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** Reads `250ms`, `30s`, `1.5h` or a bare number of milliseconds; `undefined` when the text is none of these. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, DURATIONS);
}

/** Reads `64MiB`, `1.5 GB` or a bare number of bytes; `undefined` when the text is none of these. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, SIZES);
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  if (match === null) return undefined;
  const factor = match[2] === "" ? 1 : Object.hasOwn(units, match[2]!) ? units[match[2]!]! : undefined;
  if (factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  // 0.1s is 100 ms, though 0.1 * 1000 need not be; anything further from an integer is not one.
  const rounded = Math.round(value);
  return Math.abs(value - rounded) < 1e-6 && Number.isSafeInteger(rounded) ? rounded : undefined;
}

/** A duration in its largest whole unit: `30s`, `24h`, `1500ms`. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const factor = DURATIONS[unit]!;
    // Two days and up read better as days; a day does not.
    if (ms >= factor * (unit === "d" ? 2 : 1) && ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}

/** A size in its largest whole binary unit: `64MiB`, `1500B`. */
export function formatSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    const factor = SIZES[unit]!;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
