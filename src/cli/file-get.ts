import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { NodeError } from "../core/mod.ts";
import type { NodeClient } from "./client.ts";
import { type ClientFlags, clientOf } from "./command.ts";
import type { CliContext } from "./context.ts";
import { findFile } from "./file-place.ts";
import type { FileJson } from "./file-view.ts";
import { writeOutput } from "./output.ts";
import { type ByteProgress, byteProgress, showBytes } from "./progress.ts";
import { printable } from "./terminal.ts";

/** How often a download that breaks off is taken up again without a byte between. */
const MAX_RETRIES = 5;

export interface GetFlags extends ClientFlags {
  readonly version?: number;
  readonly resume?: boolean;
}

export interface CatFlags extends ClientFlags {
  readonly version?: number;
  readonly range?: string;
}

/** `velas-sphere file get`: a local file appears under its name when it is whole and has the right digest. */
export async function getFile(
  cli: CliContext,
  { file, path, flags }: { readonly file: string; readonly path: string | undefined; readonly flags: GetFlags },
): Promise<void> {
  const client = clientOf(cli, flags);
  const record = await findFile(client, { file, version: flags.version });
  const progress = byteProgress(cli.err, { label: record.name, totalBytes: record.sizeBytes });
  const startedAt = performance.now();
  if (path === "-") {
    await pipeline(Readable.from(download(client, record, { progress }), { objectMode: false }), cli.out.stream, {
      end: false,
    }).finally(() => progress.end());
    return;
  }
  const place = await placeOf(path, record, cli);
  try {
    await writeWhole(client, record, { place, resume: flags.resume === true, progress });
  } catch (error) {
    progress.end();
    const kept = (await stat(`${place}.part`).catch(() => undefined))?.size ?? 0;
    if (kept > 0) {
      cli.err.line(`${showBytes(kept)} are in ${place}.part: the same command with --resume goes on with them.`);
    }
    throw error;
  }
  progress.end();
  if (flags.json === true) return cli.out.line(JSON.stringify({ ...record, path: place }));
  const seconds = (performance.now() - startedAt) / 1000;
  cli.out.line(printable(place));
  if (cli.err.isTerminal) {
    cli.err.line(
      cli.err.colors.dim(`${seconds.toFixed(1)} s, ${showBytes(record.sizeBytes / seconds)}/s, SHA-256 verified`),
    );
  }
}

/** `velas-sphere file cat` */
export async function catFile(cli: CliContext, { file, flags }: { file: string; flags: CatFlags }): Promise<void> {
  const client = clientOf(cli, flags);
  const record = await findFile(client, { file, version: flags.version });
  const { contentType } = record;
  if (flags.range === undefined) return await writeOutput(download(client, record, {}), cli, { contentType });
  const answer = await client.open("GET", contentPath(record), { headers: { range: `bytes=${flags.range}` } });
  if (answer.status !== 206) {
    answer.body.destroy();
    throw new NodeError(
      "invalid_argument",
      `"${flags.range}" is no range of bytes: write first-last, first- or -count, such as 0-1023`,
    );
  }
  await writeOutput(answer.body, cli, { contentType });
}

function contentPath({ id }: FileJson): string {
  return `/v1/files/${id}/content`;
}

interface DownloadOptions {
  readonly progress?: ByteProgress;
  /** Bytes that are there already, and have gone into `hash`. */
  readonly offset?: number;
  readonly hash?: Hash;
}

/**
 * A file's content from `offset` on; a connection that breaks is made again where it was. Throws `data_corrupt` at the end when the whole does
 * not have the record's digest.
 */
async function* download(
  client: NodeClient,
  record: FileJson,
  { progress, offset = 0, hash = createHash("sha256") }: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  let at = offset;
  for (let failures = 0; at < record.sizeBytes;) {
    try {
      const headers: Record<string, string> = at === 0 ? {} : { range: `bytes=${at}-` };
      const answer = await client.open("GET", contentPath(record), { headers });
      if (at > 0 && answer.status !== 206) {
        throw new NodeError(
          "target_misbehaved",
          "The node does not answer ranges: get the file again without --resume",
        );
      }
      for await (const piece of answer.body as AsyncIterable<Uint8Array>) {
        failures = 0;
        at += piece.length;
        hash.update(piece);
        progress?.update(at);
        yield piece;
      }
      if (at < record.sizeBytes) throw new Error("The content ended early");
    } catch (error) {
      if (error instanceof NodeError && !error.retryable) throw error;
      if (isAbort(error)) throw new NodeError("canceled", "Canceled", { cause: error });
      if (++failures > MAX_RETRIES) throw brokenOff(record, at, error);
      await delay(200 * 2 ** failures);
    }
  }
  if (record.sha256 !== "" && hash.digest("hex") !== record.sha256) {
    throw new NodeError(
      "data_corrupt",
      "What came does not have the SHA-256 of the file: remove the .part file and get it again",
    );
  }
}

function isAbort(error: unknown): boolean {
  return (error as { name?: string }).name === "AbortError" || (error as { code?: string }).code === "ABORT_ERR";
}

function brokenOff({ sizeBytes }: FileJson, at: number, cause: unknown): NodeError {
  if (cause instanceof NodeError) return cause;
  return new NodeError(
    "target_unreachable",
    `The connection broke off after ${at} of ${sizeBytes} bytes, again and again`,
    {
      cause,
    },
  );
}

/** Where a file goes: the path given, in a folder under the last part of its name. */
async function placeOf(path: string | undefined, { name }: FileJson, { cwd }: CliContext): Promise<string> {
  const last = name.split("/").findLast((part) => part !== "") ?? "";
  const isFolder = path === undefined ||
    (await stat(resolve(cwd, path)).catch(() => undefined))?.isDirectory() === true;
  if (!isFolder) return resolve(cwd, path);
  if (["", ".", ".."].includes(last) || printable(last) !== last || last.includes("\\") || last.includes("\n")) {
    throw new NodeError("invalid_argument", `"${printable(name)}" gives no safe file name: say where it shall go`);
  }
  return join(resolve(cwd, path ?? "."), last);
}

interface WriteOptions {
  readonly place: string;
  readonly resume: boolean;
  readonly progress: ByteProgress;
}

/** Writes `<place>.part`, and gives it its name when it is whole and on disk. */
async function writeWhole(
  client: NodeClient,
  record: FileJson,
  { place, resume, progress }: WriteOptions,
): Promise<void> {
  const partial = `${place}.part`;
  const hash = createHash("sha256");
  let offset = resume ? (await stat(partial).catch(() => undefined))?.size ?? 0 : 0;
  if (offset > record.sizeBytes) offset = 0;
  try {
    if (offset > 0) { for await (const piece of createReadStream(partial)) hash.update(piece as Uint8Array); }
    await pipeline(
      Readable.from(download(client, record, { progress, offset, hash }), {
        objectMode: false,
        highWaterMark: 1 << 18,
      }),
      createWriteStream(partial, { flags: offset > 0 ? "a" : "w", flush: true }),
    );
    await rename(partial, place);
    await syncFolder(resolve(place, ".."));
  } catch (error) {
    const corrupt = error instanceof NodeError && error.code === "data_corrupt";
    if (corrupt) await rm(partial, { force: true });
    if (error instanceof NodeError) throw error;
    const code = String((error as { code?: unknown }).code ?? "unknown");
    throw new NodeError(
      code === "ENOSPC" ? "storage_full" : "storage_failed",
      `Cannot write ${place} (${code}): choose another path`,
      {
        cause: error,
      },
    );
  }
}

/** Makes a rename last through a power cut, where the system lets a folder be opened. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}
