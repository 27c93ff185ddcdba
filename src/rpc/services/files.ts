import {
  type CallContext,
  type FileProgress,
  type FileRecord,
  type FileService as Files,
  NodeError,
  type PutFileOptions,
} from "../../core/mod.ts";
import { FileService, type GetFileRequest, type PutFileRequest } from "../../gen/velas/sphere/v1/file_pb.ts";
import { cutOff } from "../cut-off.ts";
import {
  fileEventToProto,
  fileNameFromProto,
  fileQueryFromProto,
  fileToProto,
  healthToProto,
  orderFromProto,
  progressToProto,
  refFromProto,
} from "../file-convert.ts";
import { createOwnerCheck, type OwnerAccess } from "../owner-access.ts";
import { bidiStream, type Route, serverStream, unary } from "../route.ts";

/** The largest piece of content in one message: far below every client's limit of 4 MiB. */
const CHUNK_BYTES = 256 << 10; // 256 KiB

/** How often a put reports progress, at most, in milliseconds. */
const PROGRESS_MS = 250;

export interface FileRoutesOptions {
  readonly files: Files;
  readonly access: OwnerAccess;
  /** The largest file that may be put, in bytes. */
  readonly maxFileBytes: number;
}

/** `velas.sphere.v1.FileService` for the programs of the node's owner. */
export function fileRoutes({ files, access, maxFileBytes }: FileRoutesOptions): Route[] {
  const { method } = FileService;
  const owner = createOwnerCheck(access);
  return [
    bidiStream(method.put, (requests, ctx) => put(files, requests, { context: () => owner(ctx), maxFileBytes }), {
      endsOnDrain: false,
    }),
    serverStream(method.get, (request, ctx) => get(files, request, owner(ctx)), { endsOnDrain: false }),
    unary(method.stat, async ({ file }, ctx) => ({
      file: fileToProto(await files.stat(refFromProto(file!), owner(ctx))),
    })),
    unary(method.list, async (request, ctx) => {
      const page = await files.list(fileQueryFromProto(request), owner(ctx));
      return { files: page.files.map(fileToProto), folders: [...page.folders], nextPageToken: page.nextPageToken };
    }),
    unary(method.rename, async ({ file, name }, ctx) => ({
      file: fileToProto(await files.rename(refFromProto(file!), fileNameFromProto(name), owner(ctx))),
    })),
    unary(method.remove, async ({ file }, ctx) => {
      await files.remove(refFromProto(file!), owner(ctx));
      return {};
    }),
    unary(method.health, async ({ file }, ctx) => ({
      health: healthToProto(await files.health(refFromProto(file!), owner(ctx))),
    })),
    unary(method.audit, async ({ file }, ctx) => ({
      health: healthToProto(await files.audit(refFromProto(file!), owner(ctx))),
    })),
    unary(method.repair, async ({ file }, ctx) => ({
      health: healthToProto(await files.repair(refFromProto(file!), owner(ctx))),
    })),
    unary(method.share, async ({ file, recipient }, ctx) => ({
      manifest: Uint8Array.from(await files.share(refFromProto(file!), recipient.toLowerCase(), owner(ctx))),
    })),
    unary(method.unshare, async ({ file }, ctx) => {
      const { told, pending } = await files.unshare(refFromProto(file!), owner(ctx));
      return { told: [...told], pending: [...pending] };
    }),
    unary(method.getShareKey, (_, ctx) => {
      owner(ctx);
      return Promise.resolve({ shareKey: files.shareKey() });
    }),
    unary(method.exportManifest, async ({ file }, ctx) => ({
      manifest: Uint8Array.from(await files.exportManifest(refFromProto(file!), owner(ctx))),
    })),
    unary(method.importManifest, async ({ manifest }, ctx) => ({
      file: fileToProto(await files.importManifest(manifest, owner(ctx))),
    })),
    serverStream(method.watch, ({ id }, ctx) => watch(files, id, owner(ctx)), { endsOnDrain: true }),
  ];
}

async function* get(files: Files, { file, start, end }: GetFileRequest, ctx: CallContext) {
  const opened = await files.open(refFromProto(file!), ctx);
  const { sizeBytes } = opened.record;
  const span = { start: Number(start), end: Math.min(Number(end ?? sizeBytes), sizeBytes) };
  if (span.start > span.end) {
    throw new NodeError(
      "invalid_argument",
      `The range from ${start} to ${end ?? sizeBytes} is none of a file of ${sizeBytes} bytes`,
      { data: { sizeBytes } },
    );
  }
  yield { message: { case: "file" as const, value: fileToProto(opened.record) } };
  if (span.start === span.end) return;
  for await (const piece of opened.read(span, ctx.signal)) {
    for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
      const value = piece.subarray(at, at + CHUNK_BYTES) as Uint8Array<ArrayBuffer>;
      yield { message: { case: "chunk" as const, value } };
    }
  }
}

async function* watch(files: Files, id: string, ctx: CallContext) {
  for await (const event of files.watch(id === "" ? undefined : id, ctx)) yield { event: fileEventToProto(event) };
}

interface PutContext {
  /** Throws when the caller may not; asked inside, so that it fails the call and not the server. */
  readonly context: () => CallContext;
  readonly maxFileBytes: number;
}

async function* put(files: Files, requests: AsyncIterable<PutFileRequest>, { context, maxFileBytes }: PutContext) {
  const source = requests[Symbol.asyncIterator]();
  const reports = new Reports();
  try {
    const ctx = context();
    const order = orderOf(await source.next());
    if ((order.sizeBytes ?? 0) > maxFileBytes) throw tooLarge(maxFileBytes);
    const options = { ...order, onProgress: (progress: FileProgress) => reports.report(progress) };
    const done = files.put(content(source, maxFileBytes), options, ctx).finally(() => reports.end());
    done.catch(() => {}); // awaited below
    for (let progress = await reports.next(); progress !== undefined; progress = await reports.next()) {
      yield { message: { case: "progress" as const, value: progressToProto(progress) } };
    }
    const record: FileRecord = await done;
    yield { message: { case: "file" as const, value: fileToProto(record) } };
  } finally {
    // Whatever ended the put, the rest of the content is not wanted. Not awaited: it may be waiting for the caller.
    source.return?.().catch(() => {});
  }
}

function orderOf(first: IteratorResult<PutFileRequest>): PutFileOptions {
  if (first.done === true || first.value.message.case !== "order") {
    throw new NodeError("invalid_argument", "The first message of Put must be the order; send the content after it");
  }
  return orderFromProto(first.value.message.value);
}

async function* content(source: AsyncIterator<PutFileRequest>, maxFileBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    const { message } = next.value;
    if (message.case === "end") return;
    if (message.case !== "chunk") {
      throw new NodeError("invalid_argument", "Only the first message of Put may be the order");
    }
    size += message.value.length;
    if (size > maxFileBytes) throw tooLarge(maxFileBytes);
    yield message.value;
  }
  throw cutOff("Put");
}

/** The newest progress of a put, for a reader that may be slower: what it did not take in time is left out. */
class Reports {
  #latest: FileProgress | undefined;
  #ended = false;
  #wake: () => void = () => {};
  #takenAt = -Infinity;

  report(progress: FileProgress): void {
    this.#latest = progress;
    if (performance.now() - this.#takenAt >= PROGRESS_MS) this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The next one, or undefined after the last. */
  async next(): Promise<FileProgress | undefined> {
    while (!this.#ended && (this.#latest === undefined || performance.now() - this.#takenAt < PROGRESS_MS)) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const latest = this.#latest;
    this.#latest = undefined;
    this.#takenAt = performance.now();
    return latest;
  }
}

function tooLarge(maxFileBytes: number): NodeError {
  return new NodeError(
    "input_too_large",
    `The file is larger than ${maxFileBytes} bytes, the most that this node takes; raise files.maxFileBytes`,
    { data: { limitBytes: maxFileBytes } },
  );
}
