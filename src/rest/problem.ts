import type { ErrorCode, ErrorData, NodeError } from "../core/mod.ts";

/** How REST shows one error code. */
export interface ProblemKind {
  /** HTTP status (RFC 9110 §15). */
  readonly status: number;
  /** The same words for every occurrence (RFC 9457 §3.1.4). */
  readonly title: string;
  /** When it happens and what to do, for people; also in docs/errors.md. */
  readonly explanation: string;
}

/** Every error code as HTTP. A plugin's own failures are 422: the request was understood, and a retry would fail again. */
export const PROBLEMS = {
  invalid_argument: {
    status: 400,
    title: "The request is malformed or out of range",
    explanation: "The detail names the member, its value and what is allowed. Correct the request.",
  },
  config_invalid: {
    status: 500,
    title: "The node's configuration is wrong",
    explanation:
      "A key is unknown or a value is out of range. Correct it and start the node again; `config check` tells all faults.",
  },
  unauthenticated: {
    status: 401,
    title: "Who asks is not known",
    explanation:
      "The call needs a token that it did not bring, or brought an unknown one or one that is over. Send one of the node's configuration.",
  },
  permission_denied: {
    status: 403,
    title: "Who asks may not do this",
    explanation:
      "The caller, its host or its origin is not on the list of those who may, or its token lacks the scope. Ask the node's operator.",
  },
  not_found: {
    status: 404,
    title: "There is no such thing",
    explanation:
      "No task or route has this name here, or it belongs to another requester. Check the name and the target.",
  },
  plugin_not_found: {
    status: 404,
    title: "There is no such plugin",
    explanation:
      "No plugin with this name, version or digest takes tasks here: it is not installed, or it is disabled.",
  },
  function_not_found: {
    status: 404,
    title: "The plugin has no such function",
    explanation: "The plugin is there, the function is not. The plugin's description lists its functions.",
  },
  already_exists: {
    status: 409,
    title: "The id is taken",
    explanation: "The id belongs to something else, such as a task with another input. Use another id.",
  },
  failed_precondition: {
    status: 409,
    title: "The state does not allow it",
    explanation:
      "The thing is there, but not in a state for this call: a task without output, a directory in use. The detail says which.",
  },
  module_invalid: {
    status: 422,
    title: "Not a module that this node can run",
    explanation:
      "The bytes are no WebAssembly module, or it imports or needs what the node does not give. The detail names it.",
  },
  input_too_large: {
    status: 413,
    title: "The input is too large",
    explanation:
      "The input, a message or the headers are over a limit, which the detail names. Send less, or raise the limit.",
  },
  output_too_large: {
    status: 422,
    title: "The plugin's output is too large",
    explanation: "The plugin gave more than the task allows. Ask for a higher output limit, up to the node's.",
  },
  memory_exceeded: {
    status: 422,
    title: "The plugin wanted too much memory",
    explanation: "The plugin needed more memory than the task allows. Ask for a higher memory limit, up to the node's.",
  },
  budget_exceeded: {
    status: 422,
    title: "The plugin spent its budget",
    explanation:
      "The plugin ran through all the instructions that the task allows. Ask for a higher limit, up to the node's.",
  },
  plugin_trapped: {
    status: 422,
    title: "The plugin crashed",
    explanation:
      "The plugin's code stopped at a fault of its own on this input. The node and other tasks are not harmed.",
  },
  plugin_failed: {
    status: 422,
    title: "The plugin reported an error",
    explanation: "The plugin ran and refused the input or failed in a way of its own. The detail is in its words.",
  },
  plugin_unavailable: {
    status: 503,
    title: "The plugin is not reachable",
    explanation: "A plugin outside the node is down or not healthy. The node keeps dialling it; try again.",
  },
  deadline_exceeded: {
    status: 504,
    title: "The time is over",
    explanation:
      "The task, the call or the request took longer than it was allowed. Allow it more time, or give it less to do.",
  },
  canceled: {
    status: 409,
    title: "The task was canceled",
    explanation: "The caller went away, or somebody canceled the task on its behalf.",
  },
  interrupted: {
    status: 503,
    title: "The node stopped while the task ran",
    explanation: "The node went down under the task and will not begin it again. Send it again.",
  },
  expired: {
    status: 410,
    title: "It is no longer there",
    explanation: "The task waited too long in the queue, or its result's retention time is over.",
  },
  overloaded: {
    status: 503,
    title: "The node has too much to do",
    explanation:
      "A queue or a bound on something open at once is full. Wait as long as Retry-After says, then try again.",
  },
  shutting_down: {
    status: 503,
    title: "The node is shutting down",
    explanation: "The node takes nothing new while it ends what it has. Try again, or try another node.",
  },
  target_unreachable: {
    status: 502,
    title: "The other node cannot be reached",
    explanation:
      "No connection to the target came about, or it broke before the answer. Check the address, then try again.",
  },
  no_peer_fits: {
    status: 503,
    title: "No known provider fits the task",
    explanation:
      "The task asked for any provider, and none that the node knows has what it asks for. The detail counts the reasons: ask for less, or take more peers in.",
  },
  target_misbehaved: {
    status: 502,
    title: "The other node does not speak the protocol",
    explanation:
      "What answers at the target is no node, or one whose answer or signature is wrong; or providers that were to verify a task disagree.",
  },
  target_failed: {
    status: 502,
    title: "The other node failed",
    explanation: "The target answered with an error of its own for which this node has no better name.",
  },
  unimplemented: {
    status: 501,
    title: "The call is not known here",
    explanation:
      "The node, or the target, does not have this call, perhaps because it is older. In REST also: the method is not for this path (405).",
  },
  storage_full: {
    status: 507,
    title: "The storage is full",
    explanation: "The disk or the node's quota is full. Make room or raise the quota, then try again.",
  },
  storage_failed: {
    status: 500,
    title: "The data directory cannot be used",
    explanation:
      "The node cannot read or write its data directory. Check its permissions and the disk; `doctor` looks at both.",
  },
  storage_locked: {
    status: 503,
    title: "The data directory is in use",
    explanation: "Another process has the data directory. Stop it, or give this node a directory of its own.",
  },
  data_corrupt: {
    status: 500,
    title: "The data is damaged",
    explanation: "Stored or received bytes fail their cryptographic check. They are not handed out.",
  },
  shards_missing: {
    status: 503,
    title: "Too few shards can be read",
    explanation:
      "Fewer shards of the file can be read now than it takes to decode it. Try again when more providers are up.",
  },
  payment_required: {
    status: 402,
    title: "It is not paid for",
    explanation:
      "The provider has no voucher that covers this. A node that has a channel to it sends one and tries again; `payments open` makes a channel.",
  },
  cap_reached: {
    status: 402,
    title: "It costs more than the node may spend",
    explanation:
      "A cap of the node's own would be passed: for one task, one peer or the day. Raise the cap that the detail names, or wait.",
  },
  chain_failed: {
    status: 503,
    title: "The chain cannot be used",
    explanation:
      "The chain's endpoints do not answer, answer for another chain, or a transaction failed. What is paid already is served meanwhile.",
  },
  address_in_use: {
    status: 500,
    title: "The port is taken",
    explanation: "Another process listens there. Stop it, or choose another port.",
  },
  runtime_unsupported: {
    status: 500,
    title: "The runtime has a known fault",
    explanation: "This version of Node or Deno would crash or hang under the node. Use one that the detail names.",
  },
  internal: {
    status: 500,
    title: "The node failed",
    explanation: "A fault of the node. Its log has the reason under the request's id; please report it.",
  },
} satisfies Record<ErrorCode, ProblemKind>;

/** Media type of {@link Problem} (RFC 9457 §6.1). */
export const PROBLEM_TYPE = "application/problem+json";

/** The body of every failed call (RFC 9457), with members of our own for programs. */
export interface Problem {
  /** Where the error is explained, relative to the node: `/v1/docs#error-<code>`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** What failed, with which value, and what to do. */
  readonly detail: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  /** The values that the detail names. */
  readonly data?: ErrorData;
  /** Names the call in the node's log. */
  readonly requestId?: string;
}

const exactStatuses = new WeakMap<NodeError, number>();

/** Gives an error the status that HTTP has for exactly this case, such as 405, 408, 415 and 431, instead of its code's. */
export function withStatus(error: NodeError, status: number): NodeError {
  exactStatuses.set(error, status);
  return error;
}

/** Describes an error to the caller. Of an error's cause nothing is told. */
export function problemOf(error: NodeError, requestId?: string): Problem {
  const kind: ProblemKind = PROBLEMS[error.code];
  return {
    type: `/v1/docs#error-${error.code}`,
    title: kind.title,
    status: exactStatuses.get(error) ?? kind.status,
    detail: error.message,
    code: error.code,
    retryable: error.retryable,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    ...(Object.keys(error.data).length === 0 ? {} : { data: error.data }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/** The headers that go with a problem; `Retry-After` is in whole seconds (RFC 9110 §10.2.3), rounded up. */
export function problemHeaders(problem: Problem): Record<string, string> {
  const headers: Record<string, string> = { "Content-Type": PROBLEM_TYPE, "Cache-Control": "no-store" };
  if (problem.retryAfterMs !== undefined) {
    headers["Retry-After"] = String(Math.max(1, Math.ceil(problem.retryAfterMs / 1000)));
  }
  if (problem.status === 401) headers["WWW-Authenticate"] = 'Bearer realm="velas-sphere"';
  return headers;
}
