import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../core/mod.ts";
import type { CliContext } from "./context.ts";

export interface OutputPlace {
  /** The file to write; standard output when absent. */
  readonly outputFile?: string | undefined;
  readonly contentType: string;
}

/**
 * Writes a task's output as it comes. A file appears under its name only when it is whole. A terminal is spared binary data and
 * gets a newline at the end; anything else gets the exact bytes. Throws `target_misbehaved` when the output breaks off,
 * `failed_precondition` when it is binary and goes to a terminal, `storage_failed` when the file cannot be written.
 */
export async function writeOutput(
  source: AsyncIterable<Uint8Array> | readonly Uint8Array[],
  cli: CliContext,
  { outputFile, contentType }: OutputPlace,
): Promise<void> {
  const body = watchSource(source);
  if (outputFile !== undefined) return await writeFile(body, resolve(cli.cwd, outputFile));
  const { out } = cli;
  if (!out.isTerminal) return await pipeline(Readable.from(body, { objectMode: false }), out.stream, { end: false });
  await pipeline(Readable.from(body, { objectMode: false }), sparingTerminal(contentType), out.stream, { end: false });
}

async function writeFile(body: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const partial = `${path}.part`;
  try {
    await pipeline(Readable.from(body, { objectMode: false }), createWriteStream(partial));
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    if (error instanceof NodeError) throw error;
    const code = String((error as { code?: unknown }).code ?? "unknown");
    throw new NodeError(
      code === "ENOSPC" ? "storage_full" : "storage_failed",
      `Cannot write ${path} (${code}): choose another --output-file`,
      { cause: error },
    );
  }
}

/** Tells a source that breaks off from a place that cannot be written. */
async function* watchSource(source: AsyncIterable<Uint8Array> | readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    const { name, code } = cause as { name?: string; code?: string };
    if (name === "AbortError") throw new NodeError("canceled", "Canceled", { cause });
    throw new NodeError(
      "target_misbehaved",
      `The output broke off before its end (${
        code ?? name
      }): the task failed on the way, or the connection did. Run it again`,
      { cause },
    );
  }
}

function sparingTerminal(contentType: string): Transform {
  let last = 0x0a;
  return new Transform({
    transform(piece: Uint8Array, _encoding, done) {
      if (piece.includes(0) || piece.includes(0x1b)) {
        done(
          new NodeError(
            "failed_precondition",
            `The output (${
              contentType || "no content type"
            }) is binary and would garble the terminal: give --output-file, or pipe it`,
          ),
        );
        return;
      }
      last = piece.at(-1) ?? last;
      done(null, piece);
    },
    flush(done) {
      done(null, last === 0x0a ? undefined : "\n");
    },
  });
}
