import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration, parseSize } from "../config/mod.ts";
import { NodeClient } from "./client.ts";
import type { CliContext } from "./context.ts";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { unreadable } from "./unreadable.ts";

/** A command line and what it does. */
export type Example = readonly [line: string, meaning: string];

const examplesByCommand = new WeakMap<Command, readonly Example[]>();

/** Gives a command the examples that its help and docs/cli.md show. */
export function withExamples(command: Command, ...examples: Example[]): Command {
  examplesByCommand.set(command, examples);
  return command.addHelpText("after", () => {
    const width = Math.max(...examples.map(([line]) => line.length));
    return ["\nExamples:", ...examples.map(([line, meaning]) => `  ${line.padEnd(width)}  ${meaning}`)].join("\n");
  });
}

/** The examples of a command; none when it has only subcommands. */
export function examplesOf(command: Command): readonly Example[] {
  return examplesByCommand.get(command) ?? [];
}

/** What every command that talks to a node takes. */
export interface ClientFlags {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

export const DEFAULT_URL = "http://127.0.0.1:3000";

/** Adds the options of a client of a node. */
export function withClientOptions(command: Command): Command {
  return withOutputOptions(
    command
      .addOption(
        new Option("--url <url>", `REST address of the node (VELAS_SPHERE_URL, else ${DEFAULT_URL})`)
          .helpGroup("Connection:"),
      )
      .addOption(
        new Option("--token-file <path>", "file with the node's REST token (or set VELAS_SPHERE_TOKEN)")
          .helpGroup("Connection:"),
      ),
  );
}

/** Adds the options that every command has. */
export function withOutputOptions(command: Command): Command {
  return command
    .addOption(new Option("--json", "print JSON, for programs").helpGroup("Output:"))
    .addOption(new Option("--verbose", "show the causes of an error").helpGroup("Output:"));
}

/** The client that flags and environment ask for. Throws `invalid_argument`, or `not_found` for a missing token file. */
export function clientOf({ env, cwd, interrupted }: CliContext, flags: ClientFlags): NodeClient {
  const url = flags.url ?? (env["VELAS_SPHERE_URL"] || DEFAULT_URL);
  // The node's own variables come last: they are there when the command runs beside it, as in its container.
  const token = flags.tokenFile !== undefined
    ? readToken(resolve(cwd, flags.tokenFile))
    : env["VELAS_SPHERE_TOKEN"] || fromFile(env["VELAS_SPHERE_TOKEN_FILE"], cwd) || env["VELAS_SPHERE_REST_TOKEN"] ||
      fromFile(env["VELAS_SPHERE_REST_TOKEN_FILE"], cwd);
  return new NodeClient({ url, token: token || undefined, signal: interrupted });
}

function fromFile(path: string | undefined, cwd: string): string | undefined {
  return path ? readToken(resolve(cwd, path)) : undefined;
}

/** The token in a file. Throws `not_found` when there is none to read. */
export function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw unreadable("token file", path, cause);
  }
}

/** Reads the value of an option such as `--timeout 30s`. */
export function durationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 1) throw new InvalidArgumentError("It must be a duration such as 30s or 500ms.");
  return ms;
}

/** Reads the value of an option such as `--memory 64MiB`. */
export function sizeOption(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined || bytes < 1) throw new InvalidArgumentError("It must be a size such as 64MiB.");
  return bytes;
}

/** A reader of whole numbers in a range. */
export function integerOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}
