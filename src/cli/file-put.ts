import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Readable } from "node:stream";
import { type FileState, NodeError } from "../core/mod.ts";
import type { NodeClient } from "./client.ts";
import { type ClientFlags, clientOf } from "./command.ts";
import type { CliContext } from "./context.ts";
import { versionsOf } from "./file-place.ts";
import { type FileJson, showFile } from "./file-view.ts";
import { byteProgress, showBytes } from "./progress.ts";
import { printable } from "./terminal.ts";
import { unreadable } from "./unreadable.ts";

export interface PutFlags extends ClientFlags {
  readonly policy?: string;
  readonly provider?: string[];
  readonly allowFewer?: boolean;
  readonly contentType?: string;
  /** Of the upload to go on with; true for the newest of the name. */
  readonly resume?: string | true;
  readonly wait?: "replicated" | "proven";
}

/** Bytes to put. */
interface Source {
  readonly stream: Readable;
  readonly sizeBytes?: number;
}

/** `velas-sphere file put` */
export async function putFile(
  cli: CliContext,
  { path, name, flags }: { readonly path: string; readonly name: string | undefined; readonly flags: PutFlags },
): Promise<void> {
  const client = clientOf(cli, flags);
  const fileName = nameOf(path, name);
  const resume = flags.resume === true ? await interruptedUpload(client, fileName) : flags.resume;
  if (flags.resume === true && resume === undefined) cli.err.line("Nothing to go on with: this is a new upload.");
  const source = await openSource(path, cli);
  const progress = byteProgress(cli.err, { label: fileName, totalBytes: source.sizeBytes });
  const startedAt = performance.now();
  let file: FileJson;
  try {
    file = await client.json<FileJson>("POST", "/v1/files", {
      query: {
        name: fileName,
        policy: flags.policy,
        providers: flags.provider?.join(","),
        allowFewer: flags.allowFewer === true ? "true" : undefined,
        resume,
      },
      headers: {
        ...(flags.contentType === undefined ? {} : { "content-type": flags.contentType }),
        ...(source.sizeBytes === undefined ? {} : { "content-length": String(source.sizeBytes) }),
      },
      body: Readable.from(counted(source, progress.update), { objectMode: false, highWaterMark: 1 << 18 }),
    });
  } catch (error) {
    progress.end();
    source.stream.destroy();
    if (mayGoOn(error)) {
      cli.err.line(`What has arrived is kept for a while: the same command with --resume goes on with it.`);
    }
    throw error;
  }
  progress.end();
  const seconds = (performance.now() - startedAt) / 1000;
  if (flags.wait !== undefined) file = await waitFor(client, file, flags.wait);
  if (flags.json === true) return cli.out.line(JSON.stringify(file));
  showFile(file, cli.out);
  if (cli.err.isTerminal) {
    cli.err.line(cli.err.colors.dim(`${seconds.toFixed(1)} s, ${showBytes(file.sizeBytes / seconds)}/s`));
  }
}

/** The name to put under: the one given, with the file's own when it ends in a slash. */
function nameOf(path: string, name: string | undefined): string {
  if (name !== undefined && (!name.endsWith("/") || path === "-")) return name;
  if (path === "-") throw new NodeError("invalid_argument", "Standard input has no name: give one behind the -");
  return `${name ?? ""}${basename(path)}`;
}

async function interruptedUpload(client: NodeClient, name: string): Promise<string | undefined> {
  return (await versionsOf(client, name)).find(({ state }) => state === "uploading")?.id;
}

/** Opens what is to be put before anything is sent. Throws `not_found` when it cannot be read. */
async function openSource(path: string, { stdin, cwd }: CliContext): Promise<Source> {
  if (path === "-") return { stream: stdin };
  const place = resolve(cwd, path);
  try {
    const handle = await open(place, "r");
    const about = await handle.stat();
    if (about.isDirectory()) {
      await handle.close();
      throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
    }
    const stream = createReadStream("", { fd: handle, highWaterMark: 1 << 18 });
    return about.isFile() ? { stream, sizeBytes: about.size } : { stream };
  } catch (cause) {
    throw unreadable("file", place, cause);
  }
}

/** The bytes of a source, counted on their way. Throws `failed_precondition` when a file changes its size meanwhile. */
async function* counted({ stream, sizeBytes }: Source, update: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Uint8Array>) {
    bytes += piece.length;
    if (bytes > (sizeBytes ?? Infinity)) break;
    update(bytes);
    yield piece;
  }
  if (sizeBytes !== undefined && bytes !== sizeBytes) {
    throw new NodeError(
      "failed_precondition",
      `The file had ${sizeBytes} bytes and changed while it was read: put it again`,
    );
  }
}

/** Whether the node may have a part of an upload that failed so. */
function mayGoOn(error: unknown): boolean {
  return error instanceof NodeError &&
    ["canceled", "target_unreachable", "shutting_down", "deadline_exceeded", "shards_missing"].includes(error.code) &&
    !error.message.startsWith("No node answers");
}

const RANKS: Readonly<Partial<Record<FileState, number>>> = { stored: 1, replicated: 2, proven: 3 };

/** Follows a file until it is as safe as wanted. Throws `shards_missing` when it is lost on the way. */
async function waitFor(client: NodeClient, file: FileJson, wanted: "replicated" | "proven"): Promise<FileJson> {
  let last = file;
  const reached = () => (RANKS[last.state] ?? 0) >= RANKS[wanted]!;
  if (reached()) return last;
  for await (const { data } of client.events(`/v1/files/${file.id}/events`)) {
    const event = JSON.parse(data) as { file?: FileJson };
    if (event.file !== undefined) last = event.file;
    if (reached()) return last;
    if (last.state === "lost" || last.state === "removed") break;
  }
  throw new NodeError("shards_missing", `${printable(file.name)} is ${last.state} and will not be ${wanted}`);
}
