import { signal } from "@preact/signals";

/** The body of a failed call (RFC 9457). */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly requestId?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** A call that the node refused or that did not reach it. */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.name = "ApiError";
    this.problem = problem;
  }
}

/** Whether the node wants a login before it tells more. */
export const loginNeeded = signal(false);

/** Whether the last call reached the node at all. */
export const reachable = signal(true);

export const UNREACHABLE = "unreachable";

/** Calls the API. Paths are relative to the page, so that a proxy may serve the node below a path of its own. */
export async function call(method: string, path: string, options: CallOptions = {}): Promise<Response> {
  const { json, body, type, signal: abort } = options;
  const headers: Record<string, string> = { ...options.headers };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (type !== undefined) headers["Content-Type"] = type;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      ...(json === undefined ? body === undefined ? {} : { body } : { body: JSON.stringify(json) }),
      ...(abort === undefined ? {} : { signal: abort }),
    });
  } catch (error) {
    if (abort?.aborted) throw error;
    reachable.value = false;
    throw new ApiError({
      status: 0,
      code: UNREACHABLE,
      title: "The node does not answer",
      detail: "No connection to the node came about. It may be stopped or restarting.",
      retryable: true,
    });
  }
  reachable.value = true;
  if (response.ok) return response;
  if (response.status === 401) loginNeeded.value = true;
  throw new ApiError(await problemOf(response));
}

export interface CallOptions {
  readonly json?: unknown;
  readonly body?: BodyInit;
  /** Media type of the body. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export async function getJson<T>(path: string, abort?: AbortSignal): Promise<T> {
  return await (await call("GET", path, abort === undefined ? {} : { signal: abort })).json() as T;
}

export async function sendJson<T>(method: string, path: string, json?: unknown): Promise<T> {
  const response = await call(method, path, json === undefined ? {} : { json });
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export async function problemOf(response: Response): Promise<Problem> {
  try {
    return await response.json() as Problem;
  } catch {
    return {
      status: response.status,
      code: "unknown",
      title: "The answer makes no sense",
      detail: `The node answered with status ${response.status} and no explanation.`,
      retryable: false,
    };
  }
}

/** Any failure in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A query string with what is defined and not empty; itself empty when nothing is. */
export function query(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const entries = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  return entries.length === 0 ? "" : `?${new URLSearchParams(entries.map(([key, value]) => [key, String(value)]))}`;
}
