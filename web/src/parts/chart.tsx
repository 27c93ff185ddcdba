import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { few } from "../format.ts";
import { theme } from "../theme.ts";

/** One line of a plot. */
export interface ChartLine {
  readonly label: string;
  /** A custom property of the style sheet, such as `--accent`. */
  readonly color: string;
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  readonly title: string;
  /** Milliseconds since the epoch. */
  readonly at: readonly number[];
  readonly lines: readonly ChartLine[];
  /** What stands in its place while there is too little to draw. */
  readonly note?: string;
  /** Says a value with its unit. */
  readonly show?: (value: number) => string;
  /** Whether the values are bytes, whose round numbers are powers of two. */
  readonly binary?: boolean;
  readonly height?: number;
}

const POWERS_OF_TWO = Array.from({ length: 50 }, (_, i) => 2 ** i);
/** A node that just started does not stretch its few seconds over the whole plot. */
const SHORTEST_SPAN_S = 300;

const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** The color that a custom property stands for now, in the scheme that is in force. */
function resolve(property: string, element: Element): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function translucent(color: string, alpha: number): string {
  return `color-mix(in srgb, ${color} ${alpha * 100}%, transparent)`;
}

/** A plot over time, with its latest values beside the title, which is also how a screen reader has it. */
export function Chart({ title, at, lines, note, show = few, binary = false, height = 150 }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const data = [at.map((ms) => ms / 1000), ...lines.map(({ values }) => values)] as uPlot.AlignedData;
  const isDrawn = at.length >= 2;
  const look = theme.value;
  const dark = theme.dark.value;

  useEffect(() => {
    if (!isDrawn) return;
    const element = place.current!;
    const dim = resolve("--dim", element);
    const grid = { stroke: resolve("--line", element), width: 1 };
    const font = `12px ${getComputedStyle(element).fontFamily}`;
    const axis = { stroke: dim, grid, ticks: { show: false }, font } as const;
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height,
        padding: [10, 4, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        scales: {
          x: { range: (_, first, last) => [Math.min(first, last - SHORTEST_SPAN_S), last] },
          y: { range: (_, low, high) => [Math.min(low ?? 0, 0), (high ?? 0) > 0 ? high * 1.12 : 1] },
        },
        axes: [
          {
            ...axis,
            space: 60,
            size: 26,
            incrs: [60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600],
            values: (_, splits) => splits.map((seconds) => hours.format(new Date(seconds * 1000))),
          },
          {
            ...axis,
            space: 34,
            size: 62,
            ...(binary ? { incrs: POWERS_OF_TWO } : {}),
            values: (_, splits) => splits.map((value) => show(value)),
          },
        ],
        series: [
          {},
          ...lines.map(({ label, color }) => {
            const stroke = resolve(color, element);
            return { label, stroke, fill: translucent(stroke, 0.1), width: 1.75, points: { show: false } };
          }),
        ],
      },
      data,
      element,
    );
    plot.current = chart;
    const watch = new ResizeObserver(() => {
      if (element.clientWidth > 0) chart.setSize({ width: element.clientWidth, height });
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [look, dark, lines.length, isDrawn]);

  useEffect(() => plot.current?.setData(data), [at, lines]);

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        {lines.map(({ label, color, values }) => {
          const latest = values.findLast((value) => value !== null);
          return (
            <span key={label} class="key">
              <i style={{ background: `var(${color})` }} />
              {label} <b>{latest === undefined || latest === null ? "–" : show(latest)}</b>
            </span>
          );
        })}
      </figcaption>
      <div key={String(isDrawn)} ref={place} class="plot" style={{ height: `${height}px` }} aria-hidden={isDrawn}>
        {!isDrawn && <p class="quiet">{note}</p>}
      </div>
    </figure>
  );
}
