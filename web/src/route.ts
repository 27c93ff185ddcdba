import { signal } from "@preact/signals";

/** Where the page is: `#/tasks/job-1?target=host:8081` is page `tasks`, rest `job-1`. */
export interface Route {
  readonly page: string;
  /** What follows the page in the path, decoded. */
  readonly rest: string;
  readonly query: URLSearchParams;
}

function read(): Route {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", ...rest] = path.split("/");
  return { page: page || "overview", rest: safeDecode(rest.join("/")), query: new URLSearchParams(search) };
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = signal<Route>(read());

addEventListener("hashchange", () => route.value = read());

/** The address of a place within the page. */
export function href(page: string, rest = "", query: Readonly<Record<string, string>> = {}): string {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "")).toString();
  return `#/${page}${rest === "" ? "" : `/${encodeURIComponent(rest)}`}${search === "" ? "" : `?${search}`}`;
}

export function go(to: string): void {
  location.hash = to;
}
