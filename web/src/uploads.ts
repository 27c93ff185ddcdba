import { signal } from "@preact/signals";
import { ApiError, getJson, query, UNREACHABLE } from "./api.ts";
import type { Problem } from "./api.ts";
import type { FilePage, FileRecord } from "./api-types.ts";
import { forget, remember, wasInterrupted } from "./upload-memory.ts";

/** A file on its way to the node. */
export interface Upload {
  readonly key: number;
  readonly file: File;
  readonly name: string;
  readonly state: "waiting" | "sending" | "storing" | "done" | "failed" | "stopped";
  /** Bytes that the node has taken. */
  readonly sent: number;
  /** Whether it goes on with what an earlier attempt brought. */
  readonly resumes: boolean;
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
  const added = files.map((file): Upload => ({
    key: ++lastKey,
    file,
    // A dropped folder's files know their path.
    name: prefix + (file.webkitRelativePath || file.name),
    state: "waiting",
    sent: 0,
    resumes: false,
  }));
  uploads.value = [...uploads.value, ...added];
  startNext();
}

export function stopUpload({ key }: Upload): void {
  change(key, { state: "stopped" });
  requests.get(key)?.abort();
  startNext();
}

/** Tries again; what the node has already is not lost. */
export function retryUpload({ key }: Upload): void {
  change(key, { state: "waiting", sent: 0 });
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
  for (let attempt = 1;; attempt++) {
    try {
      const resume = await interruptedId(one);
      if (isStopped(one)) return;
      change(one.key, { state: "sending", sent: 0, resumes: resume !== "" });
      remember(one);
      await send(one, resume);
      forget(one);
      change(one.key, { state: "done", sent: one.file.size });
      uploaded.value++;
      return;
    } catch (error) {
      if (isStopped(one)) return;
      const again = error instanceof ApiError && (error.problem.code === UNREACHABLE || error.problem.retryable);
      if (!again || attempt === MAX_ATTEMPTS) {
        change(one.key, { state: "failed", error });
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** (attempt - 1)));
    }
  }
}

function isStopped({ key }: Upload): boolean {
  return uploads.peek().find((one) => one.key === key)?.state === "stopped";
}

/** The version that an interrupted attempt at the same file left, if any. */
async function interruptedId(one: Upload): Promise<string> {
  if (!wasInterrupted(one)) return "";
  const parameters = { prefix: one.name, allVersions: true, pageSize: 50 };
  const { files } = await getJson<FilePage>(`v1/files${query(parameters)}`);
  return files.find(({ name, state }) => name === one.name && state === "uploading")?.id ?? "";
}

/** One attempt, by XMLHttpRequest: fetch does not tell how much has been sent. */
function send(one: Upload, resume: string): Promise<FileRecord> {
  const { key, file, name } = one;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    requests.set(key, request);
    request.open("POST", `v1/files${query({ name, resume, allowFewer: true })}`);
    request.responseType = "json";
    if (file.type !== "") request.setRequestHeader("Content-Type", file.type);
    request.upload.onprogress = ({ loaded }) => change(key, { sent: loaded });
    request.upload.onload = () => change(key, { state: "storing", sent: file.size });
    request.onload = () => {
      if (request.status < 300) resolve(request.response as FileRecord);
      else reject(new ApiError(request.response as Problem ?? broken(`The node answered with ${request.status}.`)));
    };
    request.onerror = () => reject(new ApiError(broken("The connection broke. What has come is kept.")));
    request.onabort = () => reject(new ApiError(broken("Stopped.")));
    request.onloadend = () => requests.delete(key);
    request.send(file);
  });
}

function broken(detail: string): Problem {
  return { status: 0, code: UNREACHABLE, title: "The upload broke off", detail, retryable: true };
}
