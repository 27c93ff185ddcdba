import type { JSX } from "preact";

/** Line icons on a 24-pixel grid; decoration only, names stand beside them. */
const PATHS = {
  overview: "M3 12l2.5 0 2.5-7 4 14 3-9 1.5 2H21",
  tasks: "M5 4l14 8-14 8z",
  plugins: "M9 3v4M15 3v4M6 7h12v5a6 6 0 0 1-12 0zM12 18v3",
  files: "M4 5h6l2 3h8v11H4z",
  peers:
    "M12 5m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0M5 18m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0M19 18m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0M10.8 7.2L6.3 15.9M13.2 7.2l4.5 8.7M7.5 18h9",
  payments: "M3 7h18v11H3zM3 11h18M7 15h4",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 7m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M9 17m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
  api: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 4l-3 16",
  sun:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  auto: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  upload: "M12 16V4M7 9l5-5 5 5M4 20h16",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warn: "M12 4l9 16H3zM12 10v4M12 17v.5",
  more: "M9 6l6 6-6 6",
  folder: "M3 6h6l2 3h10v10H3z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  share: "M12 15V4M8 7l4-4 4 4M6 11H5v9h14v-9h-1",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  logout: "M14 4h6v16h-6M10 8l-4 4 4 4M6 12h10",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo(): JSX.Element {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <g fill="none" stroke="currentColor" stroke-width="1.8">
        <ellipse cx="16" cy="16" rx="14" ry="5.6" transform="rotate(-28 16 16)" />
        <ellipse cx="16" cy="16" rx="14" ry="5.6" transform="rotate(62 16 16)" opacity=".45" />
      </g>
      <circle cx="16" cy="16" r="4.6" fill="currentColor" />
    </svg>
  );
}
