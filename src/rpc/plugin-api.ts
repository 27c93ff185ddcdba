import { type LogLevel, NodeError, type TaskLimits } from "../core/mod.ts";

/** The input of an execution: a stream of pieces, to be read once. */
export interface PluginInput extends AsyncIterable<Uint8Array> {
  /** The whole input. Throws `input_too_large` when it is over the server's limit. */
  bytes(): Promise<Uint8Array>;
  /** The whole input as text. Throws `invalid_argument` when it is not UTF-8. */
  text(): Promise<string>;
}

/** What a function knows of the execution that it serves, and how it speaks while it runs. */
export interface PluginExecution {
  /** Media type of the input; empty means `application/octet-stream`. */
  readonly contentType: string;
  /** Aborts when the node cancels, the caller goes away, or the time is over. A function should then stop. */
  readonly signal: AbortSignal;
  /** The bounds that the node set. Time and output size are enforced by the server. */
  readonly limits: Partial<TaskLimits>;
  log(level: LogLevel, message: string): void;
  /** Says how far it has come, from 0 to 1. */
  progress(fraction: number, message?: string): void;
  /** Adds to the time that the function worked on the GPU, in microseconds. Only a plugin with `gpu` is paid for it. */
  usedGpu(micros: number): void;
}

/** What a function gives: all of the output, or its pieces. */
export type PluginOutput = Promise<Uint8Array | string> | AsyncIterable<Uint8Array>;

/** One function of a plugin that is written in TypeScript and served by `createPluginServer`. */
export interface PluginImplementation {
  readonly description?: string;
  /** Empty or absent means any. */
  readonly inputContentType?: string;
  /** Empty or absent means `application/octet-stream`. */
  readonly outputContentType?: string;
  /** Runs the function. An Error that it throws is shown to the caller as the plugin's own failure. */
  run(input: PluginInput, execution: PluginExecution): PluginOutput;
}

/** Makes the input of one execution from the pieces that arrive; `maxBytes` bounds what is gathered whole. */
export function pluginInput(pieces: AsyncIterable<Uint8Array>, maxBytes: number): PluginInput {
  const bytes = async () => {
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const piece of pieces) {
      length += piece.length;
      if (length > maxBytes) {
        throw new NodeError("input_too_large", `The plugin takes at most ${maxBytes} bytes of input`, {
          data: { limitBytes: maxBytes },
        });
      }
      parts.push(piece);
    }
    if (parts.length === 1) return parts[0]!;
    const whole = new Uint8Array(length);
    let offset = 0;
    for (const part of parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  };
  return {
    [Symbol.asyncIterator]: () => pieces[Symbol.asyncIterator](),
    bytes,
    async text() {
      try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await bytes());
      } catch (cause) {
        if (cause instanceof NodeError) throw cause;
        throw new NodeError("invalid_argument", "The input is not UTF-8 text, which this function needs", { cause });
      }
    },
  };
}
