import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { NodeError } from "../core/mod.ts";
import type { CliContext } from "./context.ts";
import { unreadable } from "./unreadable.ts";

/** What says where a task's input is: a text, a file, or `-` for standard input; without any it is empty. */
export interface InputFlags {
  readonly input?: string | undefined;
  readonly inputFile?: string | undefined;
}

/**
 * A task's input, to be sent as it is read. Throws `invalid_argument` when it is given twice, `not_found` when the file cannot be
 * opened, so before anything is sent.
 */
export async function openInput(
  { input, inputFile }: InputFlags,
  { stdin, cwd }: CliContext,
): Promise<Uint8Array | Readable> {
  if (inputFile === undefined) return new TextEncoder().encode(input ?? "");
  if (input !== undefined) {
    throw new NodeError(
      "invalid_argument",
      `The input is given as text and as --input-file ${inputFile}: leave one of them away`,
    );
  }
  if (inputFile === "-") return stdin;
  const path = resolve(cwd, inputFile);
  try {
    const file = await open(path, "r");
    const isFolder = (await file.stat()).isDirectory();
    await file.close();
    if (isFolder) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
  } catch (cause) {
    throw unreadable("input file", path, cause);
  }
  return createReadStream(path);
}

/** A task's whole input, for calls that carry it in JSON. */
export async function readInput(flags: InputFlags, cli: CliContext): Promise<Uint8Array> {
  const input = await openInput(flags, cli);
  if (input instanceof Uint8Array) return input;
  const pieces: Uint8Array[] = [];
  for await (const piece of input) pieces.push(piece as Uint8Array);
  return Buffer.concat(pieces);
}
