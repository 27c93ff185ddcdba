import { Buffer } from "node:buffer";
import { NodeError, type PluginCall } from "../core/mod.ts";
import { LOG_CHARACTERS, LOG_LINES, PROGRESS_REPORTS } from "./call-sink.ts";
import type { ExternalMessage } from "./external-protocol.ts";

/** Takes what an external plugin sends while it executes, within the bounds that hold for WASM plugins too. */
export class ExternalSink {
  readonly #call: PluginCall;
  readonly #pieces: Uint8Array[] = [];
  #outputBytes = 0;
  #logLines = 0;
  #logCharacters = 0;
  #progressReports = 0;
  #result: string | undefined;
  #gpuMicros = 0;

  constructor(call: PluginCall) {
    this.#call = call;
  }

  get outputBytes(): number {
    return this.#outputBytes;
  }

  /** The media type that the plugin ended with; undefined before it has. */
  get result(): string | undefined {
    return this.#result;
  }

  /** How long the plugin says that it worked on the GPU. */
  get gpuMicros(): number {
    return this.#gpuMicros;
  }

  /** The whole output; empty when it is streamed. */
  output(): Uint8Array {
    if (this.#pieces.length === 1) return this.#pieces[0]!;
    return Buffer.concat(this.#pieces);
  }

  /** Takes one message. The promise, if any, is the reader's wish to be waited for. Throws `output_too_large` and `plugin_failed`. */
  take(message: ExternalMessage): void | Promise<void> {
    if (this.#result !== undefined) {
      throw new NodeError("plugin_failed", `The plugin broke its protocol: it sent a ${message.type} after its result`);
    }
    switch (message.type) {
      case "result":
        this.#result = message.contentType;
        this.#gpuMicros = message.gpuMicros;
        return;
      case "chunk":
        return this.#chunk(message.bytes);
      case "log":
        return this.#log(message);
      case "progress": {
        if (++this.#progressReports > PROGRESS_REPORTS) return;
        const fraction = message.fraction >= 0 ? Math.min(message.fraction, 1) : 0; // NaN too
        return this.#call.onEvent?.({ ...message, fraction, at: message.at || Date.now() });
      }
    }
  }

  #chunk(bytes: Uint8Array): void | Promise<void> {
    if (bytes.length === 0) return;
    this.#outputBytes += bytes.length;
    const { outputBytes } = this.#call.limits;
    if (this.#outputBytes > outputBytes) throw tooMuchOutput(outputBytes, this.#outputBytes);
    if (this.#call.streamOutput === true) return this.#call.onEvent?.({ type: "chunk", bytes });
    this.#pieces.push(bytes);
  }

  #log(message: ExternalMessage & { type: "log" }): void | Promise<void> {
    if (this.#call.onEvent === undefined || this.#logLines > LOG_LINES) return;
    this.#logLines++;
    this.#logCharacters += message.message.length;
    const at = message.at || Date.now();
    if (this.#logLines <= LOG_LINES && this.#logCharacters <= LOG_CHARACTERS) {
      return this.#call.onEvent({ ...message, at });
    }
    this.#logLines = LOG_LINES + 1;
    const text = `The log is cut here: a call may write ${LOG_LINES} lines and ${LOG_CHARACTERS} characters`;
    return this.#call.onEvent({ type: "log", level: "warn", message: text, at });
  }
}

/** The output is over the task's limit. `sizeBytes` is what had come, if that is known. */
export function tooMuchOutput(limitBytes: number, sizeBytes?: number): NodeError {
  const produced = sizeBytes === undefined ? "more output than it may" : `${sizeBytes} bytes of output or more`;
  return new NodeError(
    "output_too_large",
    `The plugin produced ${produced}; the task allows ${limitBytes} (limits.outputBytes)`,
    { data: { limitBytes } },
  );
}
