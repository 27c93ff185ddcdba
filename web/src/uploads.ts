import { signal } from "@preact/signals";
import { ApiError, call, query, UNREACHABLE } from "./api.ts";
import type { Problem } from "./api.ts";
import { lookForInterrupted, sourceOf } from "./interrupted.ts";
import type { HeldUpload } from "./interrupted.ts";

/** A file on its way to the node. */
export interface Upload {
  readonly key: number;
  readonly file: File;
  readonly name: string;
  readonly state: "waiting" | "sending" | "storing" | "done" | "failed" | "stopped";
  /** Bytes that the node has taken. */
  readonly sent: number;
  /** Bytes that an earlier attempt brought. */
  readonly resumedAt: number;
  /** The node's id of it, once it has one. */
  readonly id?: string;
  readonly error?: unknown;
}

/** Uploads of this tab, the latest last. */
export const uploads = signal<readonly Upload[]>([]);

/** Counts uploads that ended well, for lists to follow. */
export const uploaded = signal(0);

const MAX_AT_ONCE = 2;
const MAX_ATTEMPTS = 5;
const FIRST_WAIT_MS = 1000;

const requests = new Map<number, XMLHttpRequest>();
let lastKey = 0;

addEventListener("beforeunload", (event) => {
  if (requests.size > 0) event.preventDefault();
});

/** Puts files below a prefix, two at a time. */
export function upload(files: readonly File[], prefix: string): void {
  // A dropped folder's files know their path.
  for (const file of files) uploadAs(file, prefix + (file.webkitRelativePath || file.name));
}

export function uploadAs(file: File, name: string): void {
  uploads.value = [...uploads.value, { key: ++lastKey, file, name, state: "waiting", sent: 0, resumedAt: 0 }];
  startNext();
}

export function stopUpload({ key }: Upload): void {
  change(key, { state: "stopped" });
  requests.get(key)?.abort();
  startNext();
}

/** Tries again; what the node has already is not lost. */
export function retryUpload({ key }: Upload): void {
  change(key, { state: "waiting" });
  startNext();
}

export function clearEnded(): void {
  uploads.value = uploads.value.filter(({ state }) =>
    state === "waiting" || state === "sending" || state === "storing"
  );
}

function change(key: number, to: Partial<Upload>): void {
  uploads.value = uploads.value.map((one) => one.key === key ? { ...one, ...to } : one);
}

function startNext(): void {
  const active = uploads.value.filter(({ state }) => state === "sending" || state === "storing").length;
  const next = uploads.value.find(({ state }) => state === "waiting");
  if (next === undefined || active >= MAX_AT_ONCE) return;
  change(next.key, { state: "sending" });
  void run(next).finally(startNext);
  startNext();
}

async function run(one: Upload): Promise<void> {
  for (let attempt = 1;;) {
    const before = sentOf(one);
    try {
      const held = await begin(one);
      if (isStopped(one)) return;
      change(one.key, { state: "sending", id: held.id, sent: held.offset, resumedAt: held.offset });
      await send(one, held);
      change(one.key, { state: "done", sent: one.file.size });
      uploaded.value++;
      return;
    } catch (error) {
      if (isStopped(one)) return;
      const again = error instanceof ApiError && (error.problem.code === UNREACHABLE || error.problem.retryable);
      // As long as it gets on it may break off as often as it likes.
      attempt = sentOf(one) > before ? 1 : attempt + 1;
      if (!again || attempt > MAX_ATTEMPTS) {
        change(one.key, { state: "failed", error });
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** (attempt - 1)));
    } finally {
      void lookForInterrupted().catch(() => {});
    }
  }
}

function current({ key }: Upload): Upload | undefined {
  return uploads.peek().find((one) => one.key === key);
}

function sentOf(one: Upload): number {
  return current(one)?.sent ?? 0;
}

function isStopped(one: Upload): boolean {
  return current(one)?.state === "stopped";
}

/** The upload at the node: that of this tab, one of the very same file that was interrupted, or a new one. */
async function begin(one: Upload): Promise<Pick<HeldUpload, "id" | "offset">> {
  const { file, name } = one;
  const source = sourceOf(file);
  const id = current(one)?.id ??
    (await lookForInterrupted()).find((held) => held.name === name && held.source === source)?.id;
  if (id !== undefined) {
    try {
      const { headers } = await call("HEAD", `v1/uploads/${id}`);
      return { id, offset: Number(headers.get("Upload-Offset")) };
    } catch (error) {
      // The node forgets what waited too long.
      if (!(error instanceof ApiError) || error.problem.status !== 404) throw error;
    }
  }
  const response = await call("POST", `v1/uploads${query({ name, source, allowFewer: true })}`, {
    headers: { "Upload-Length": String(file.size), ...(file.type === "" ? {} : { "Content-Type": file.type }) },
  });
  return await response.json() as HeldUpload;
}

/** Sends the rest, by XMLHttpRequest: fetch does not tell how much has been sent. */
function send({ key, file }: Upload, { id, offset }: Pick<HeldUpload, "id" | "offset">): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    requests.set(key, request);
    request.open("PATCH", `v1/uploads/${id}`);
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/partial-upload");
    request.setRequestHeader("Upload-Offset", String(offset));
    request.setRequestHeader("Upload-Complete", "?1");
    request.upload.onprogress = ({ loaded }) => change(key, { sent: offset + loaded });
    request.upload.onload = () => change(key, { state: "storing", sent: file.size });
    request.onload = () => {
      if (request.status < 300) resolve();
      else reject(new ApiError(request.response as Problem ?? broken(`The node answered with ${request.status}.`)));
    };
    request.onerror = () => reject(new ApiError(broken("The connection broke. What has come is kept.")));
    request.onabort = () => reject(new ApiError(broken("Stopped.")));
    request.onloadend = () => requests.delete(key);
    request.send(offset === 0 ? file : file.slice(offset));
  });
}

function broken(detail: string): Problem {
  return { status: 0, code: UNREACHABLE, title: "The upload broke off", detail, retryable: true };
}
