import { createReadStream } from "node:fs";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { extname } from "node:path";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../../src/core/mod.ts";
import { remoteSource, type Source } from "./source.ts";

export interface LibraryOptions {
  /** The REST address of the node whose files are read and written, `http://127.0.0.1:3000`. */
  readonly url: string;
  readonly token?: string | undefined;
  /** What names of files must begin with, so that those who may run the plugin reach these files and no others. */
  readonly prefix: string;
}

/** The files of a node, as far as a plugin may touch them. */
export class Library {
  readonly #options: LibraryOptions;

  constructor(options: LibraryOptions) {
    this.#options = options;
  }

  /** A file as a source that is read where ffmpeg looks. Throws `permission_denied` for a name outside the prefix. */
  async open(name: string): Promise<Source> {
    return await remoteSource({ url: this.#url("/v1/file/content", name), headers: this.#headers() }, extname(name));
  }

  /** Stores a file of this machine. Throws like {@link open}, and what the node says when it does not take it. */
  async put(name: string, file: { readonly path: string; readonly type: string }, signal: AbortSignal): Promise<void> {
    const url = this.#url("/v1/files", name);
    const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
      method: "POST",
      headers: { ...this.#headers(), "content-type": file.type },
      signal,
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.on("response", resolve);
      request.on("error", reject);
    });
    answered.catch(() => {});
    try {
      // A node that refuses a file answers before it has read it.
      await Promise.race([pipeline(createReadStream(file.path), request), answered]);
      const answer = await answered;
      let text = "";
      for await (const chunk of answer) text = `${text}${chunk}`.slice(0, 10_000);
      if (answer.statusCode === 201) return;
      throw new NodeError("plugin_failed", `The node did not take the file ${name}: ${detailOf(text)}`);
    } catch (cause) {
      if (cause instanceof NodeError) throw cause;
      signal.throwIfAborted();
      throw new NodeError("plugin_failed", `The file ${name} could not be stored: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  #url(path: string, name: string): URL {
    const { url, prefix } = this.#options;
    if (!name.startsWith(prefix)) {
      throw new NodeError(
        "permission_denied",
        `This plugin may touch files that begin with "${prefix}", not "${name}"`,
        {
          data: { name, prefix },
        },
      );
    }
    const found = new URL(path, url);
    found.searchParams.set("name", name);
    return found;
  }

  #headers(): Record<string, string> {
    const { token } = this.#options;
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  }
}

function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === "string" ? detail : text;
  } catch {
    return text;
  }
}
