import type { FileRecord } from "../core/mod.ts";
import type { ServeEvents } from "./events.ts";
import type { FileFace, RestAppOptions } from "./options.ts";

export const FILE_TAGS = ["Files"];

/** Everything behind `/v1/files/`, slashes and newlines included, as the router matches it. */
export const REST_OF_PATH = "/v1/files/:ref{[^]+}";

/** Exactly an id: what is longer or shorter is a name. Hono's patterns cannot hold a count in braces. */
export const ID_PATH = `/v1/files/:id{${"[0-9a-f]".repeat(32)}}`;

/** What the routes of files are built from. */
export interface FileRoutesOptions extends RestAppOptions {
  readonly files: FileFace;
  readonly serveEvents: ServeEvents;
}

/** Where to ask for a version. */
export function locationOf({ id }: FileRecord): string {
  return `/v1/files/${id}`;
}
