import { NodeError } from "../core/mod.ts";
import type { NodeClient } from "./client.ts";
import type { FileJson } from "./file-view.ts";

/** What a command names a file by. */
export interface FilePlace {
  /** An id or a name. */
  readonly file: string;
  readonly version?: number | undefined;
}

const ID = /^[0-9a-f]{32}$/;

/** The record of the file that a word names: an id when it looks like one and there is such a file, else a name. */
export async function findFile(client: NodeClient, { file, version }: FilePlace): Promise<FileJson> {
  if (ID.test(file) && version === undefined) {
    try {
      return await client.json<FileJson>("GET", `/v1/files/${file}`);
    } catch (error) {
      if (!(error instanceof NodeError) || error.code !== "not_found") throw error;
    }
  }
  return await client.json<FileJson>("GET", "/v1/file", { query: { name: file, version } });
}

interface PageJson {
  readonly files: readonly FileJson[];
  readonly folders: readonly string[];
  readonly nextPageToken: string;
}

export interface ListOptions {
  readonly prefix?: string | undefined;
  readonly delimiter?: string | undefined;
  readonly allVersions?: boolean | undefined;
  readonly pageSize?: number | undefined;
  readonly pageToken?: string | undefined;
}

export function filePage(client: NodeClient, options: ListOptions): Promise<PageJson> {
  const { allVersions, ...query } = options;
  return client.json<PageJson>("GET", "/v1/files", {
    query: { ...query, ...(allVersions === true ? { allVersions: "true" } : {}) },
  });
}

/** All files that a listing gives, page by page. */
export async function* everyFile(client: NodeClient, options: ListOptions): AsyncGenerator<FileJson> {
  let pageToken = "";
  do {
    const page = await filePage(client, { pageSize: 1000, ...options, pageToken });
    yield* page.files;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** All versions of one name, also those that are uploading, newest first. */
export async function versionsOf(client: NodeClient, name: string): Promise<FileJson[]> {
  const versions: FileJson[] = [];
  for await (const file of everyFile(client, { prefix: name, allVersions: true })) {
    if (file.name === name) versions.push(file);
    // Names come in order, so nothing behind this one can be it.
    else break;
  }
  return versions.sort((a, b) => b.version - a.version);
}
