import type { ErrorCode } from "../core/mod.ts";

/** How the program ended, for scripts. docs/cli.md shows the table. */
export const EXIT = {
  ok: 0,
  fault: 1,
  usage: 2,
  config: 3,
  notFound: 4,
  denied: 5,
  conflict: 6,
  limit: 7,
  pluginFailed: 8,
  timeout: 9,
  tryAgain: 10,
  peer: 11,
  local: 12,
  /** What a shell reports for a program that Ctrl-C ended: 128 + SIGINT. */
  canceled: 130,
} as const;

/** What each exit code means, for help and docs. */
export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: "done",
  fault: "a fault of this software",
  usage: "the command or a value in it is wrong",
  config: "the configuration is wrong, or the runtime is not supported",
  notFound: "there is no such task, plugin, function or file",
  denied: "not allowed: no token, the wrong one, or one without the scope",
  conflict: "the id is taken, or the state does not allow it",
  limit: "input, output, memory or instructions are over their limit",
  pluginFailed: "the plugin failed, or is not valid",
  timeout: "the time is over",
  tryAgain: "not now: no node answers, it is full, or it is shutting down",
  peer: "another node failed or does not speak the protocol",
  local: "this machine is in the way: disk, data directory, port",
  canceled: "canceled",
};

/** The exit code of every error. */
export const EXIT_CODES = {
  invalid_argument: EXIT.usage,
  config_invalid: EXIT.config,
  unauthenticated: EXIT.denied,
  permission_denied: EXIT.denied,
  not_found: EXIT.notFound,
  plugin_not_found: EXIT.notFound,
  function_not_found: EXIT.notFound,
  already_exists: EXIT.conflict,
  failed_precondition: EXIT.conflict,
  module_invalid: EXIT.pluginFailed,
  input_too_large: EXIT.limit,
  output_too_large: EXIT.limit,
  memory_exceeded: EXIT.limit,
  budget_exceeded: EXIT.limit,
  plugin_trapped: EXIT.pluginFailed,
  plugin_failed: EXIT.pluginFailed,
  plugin_unavailable: EXIT.tryAgain,
  deadline_exceeded: EXIT.timeout,
  canceled: EXIT.canceled,
  interrupted: EXIT.tryAgain,
  expired: EXIT.timeout,
  overloaded: EXIT.tryAgain,
  shutting_down: EXIT.tryAgain,
  target_unreachable: EXIT.tryAgain,
  no_peer_fits: EXIT.tryAgain,
  target_misbehaved: EXIT.peer,
  target_failed: EXIT.peer,
  unimplemented: EXIT.peer,
  storage_full: EXIT.local,
  storage_failed: EXIT.local,
  storage_locked: EXIT.local,
  address_in_use: EXIT.local,
  data_corrupt: EXIT.peer,
  shards_missing: EXIT.peer,
  payment_required: EXIT.peer,
  cap_reached: EXIT.limit,
  chain_failed: EXIT.tryAgain,
  runtime_unsupported: EXIT.config,
  internal: EXIT.fault,
} satisfies Record<ErrorCode, number>;

/** Whether a word, such as the `code` of an answer, is one of the closed set. */
export function isErrorCode(word: unknown): word is ErrorCode {
  return typeof word === "string" && Object.hasOwn(EXIT_CODES, word);
}
