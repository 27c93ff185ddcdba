import {
  type Content,
  type FileInfo,
  type Files,
  gather,
  piecesOf,
  type PutOptions,
  type ReadOptions,
} from "./files.ts";
import { SphereError } from "./sphere-error.ts";

export interface RestOptions {
  /** Where the node's REST API is, such as `http://127.0.0.1:3000`. */
  readonly url: string;
  /** The node's REST token, when it has one. */
  readonly token?: string;
}

/** Files over REST, for browsers: the node must allow the page's origin (`rest.allowedOrigins`). */
export class RestFiles implements Files {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor({ url, token }: RestOptions) {
    this.#url = url.replace(/\/$/, "");
    this.#headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  }

  async put(
    name: string,
    content: Content,
    options: PutOptions = {},
  ): Promise<FileInfo> {
    const { contentType, policy, allowFewer, signal } = options;
    const query = new URLSearchParams({
      name,
      ...(policy === undefined ? {} : { policy: `${policy.dataShards}+${policy.parityShards}` }),
      ...(allowFewer === undefined ? {} : { allowFewer: String(allowFewer) }),
    });
    // Browsers stream no request bodies, so this is whole; the upload resource (POST /v1/uploads) is for what is too large for that.
    const body = await gather(piecesOf(content, 1 << 20));
    return await (await this.#call("POST", `/v1/files?${query}`, {
      body: body as BodyInit,
      ...(contentType === undefined ? {} : { headers: { "Content-Type": contentType } }),
      ...(signal === undefined ? {} : { signal }),
    })).json() as FileInfo;
  }

  async *read(
    name: string,
    { start = 0, end, signal }: ReadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const ranged = start > 0 || end !== undefined;
    if (end !== undefined && end <= start) return;
    const response = await this.#call(
      "GET",
      `/v1/file/content?${new URLSearchParams({ name })}`,
      {
        ...(ranged
          ? {
            headers: {
              Range: `bytes=${start}-${end === undefined ? "" : end - 1}`,
            },
          }
          : {}),
        ...(signal === undefined ? {} : { signal }),
      },
    );
    const reader = response.body!.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } catch (cause) {
      throw new SphereError(
        "data_corrupt",
        `Reading ${name} broke off; what came is not whole`,
        { retryable: true, cause },
      );
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  get(name: string, options?: ReadOptions): Promise<Uint8Array> {
    return gather(this.read(name, options));
  }

  async stat(name: string): Promise<FileInfo> {
    return await (await this.#call(
      "GET",
      `/v1/file?${new URLSearchParams({ name })}`,
    )).json() as FileInfo;
  }

  async *list(prefix = ""): AsyncGenerator<FileInfo> {
    for (let pageToken = "";;) {
      const query = new URLSearchParams({ prefix, pageToken });
      const page = await (await this.#call("GET", `/v1/files?${query}`))
        .json() as {
          files: FileInfo[];
          nextPageToken: string;
        };
      yield* page.files;
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }

  async remove(name: string): Promise<void> {
    await this.#call("DELETE", `/v1/file?${new URLSearchParams({ name })}`);
  }

  async #call(
    method: string,
    path: string,
    init: RequestInit = {},
  ): Promise<Response> {
    let response: Response;
    try {
      const headers = {
        ...this.#headers,
        ...init.headers as Record<string, string>,
      };
      response = await fetch(`${this.#url}${path}`, {
        ...init,
        method,
        headers,
      });
    } catch (cause) {
      if (init.signal?.aborted === true) {
        throw new SphereError("canceled", "The call was stopped", { cause });
      }
      throw new SphereError("unreachable", `No connection to ${this.#url}`, {
        retryable: true,
        cause,
      });
    }
    if (response.ok) return response;
    const {
      code = "unknown",
      detail = `The node answered with ${response.status}`,
      retryable = false,
    } = await response
      .json().catch(() => ({})) as {
        code?: string;
        detail?: string;
        retryable?: boolean;
      };
    throw new SphereError(code, detail, { retryable });
  }
}
