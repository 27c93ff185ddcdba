import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type File, FileService, type PutFileRequestSchema } from "../src/gen/velas/sphere/v1/file_pb.ts";
import {
  type Content,
  type FileInfo,
  type Files,
  gather,
  piecesOf,
  type PutOptions,
  type ReadOptions,
} from "./files.ts";
import { calling, SphereError, streaming } from "./sphere-error.ts";

const PIECE_BYTES = 1 << 18; // 256 KiB

/** Files over Connect, for programs: uploads stream both ways, which takes HTTP/2. */
export class ConnectFiles implements Files {
  readonly #client: Client<typeof FileService>;

  constructor(transport: Transport) {
    this.#client = createClient(FileService, transport);
  }

  async put(
    name: string,
    content: Content,
    options: PutOptions = {},
  ): Promise<FileInfo> {
    const { contentType = "", policy, allowFewer = false, signal } = options;
    async function* messages(): AsyncGenerator<
      MessageInitShape<typeof PutFileRequestSchema>
    > {
      const order = {
        name,
        contentType,
        allowFewer,
        ...(policy === undefined ? {} : { policy }),
      };
      yield { message: { case: "order", value: order } };
      for await (const value of piecesOf(content, PIECE_BYTES)) {
        yield { message: { case: "chunk", value } };
      }
      yield { message: { case: "end", value: {} } };
    }
    const answers = this.#client.put(
      messages(),
      signal === undefined ? {} : { signal },
    );
    for await (const { message } of streaming(answers)) {
      if (message.case === "file") return infoOf(message.value);
    }
    throw new SphereError(
      "target_misbehaved",
      "The node ended the upload without a record",
    );
  }

  async *read(
    name: string,
    { start = 0, end, signal }: ReadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const answers = this.#client.get(
      {
        file: { ref: { case: "name", value: name } },
        start: BigInt(start),
        ...(end === undefined ? {} : { end: BigInt(end) }),
      },
      signal === undefined ? {} : { signal },
    );
    for await (const { message } of streaming(answers)) {
      if (message.case === "chunk") yield message.value;
    }
  }

  get(name: string, options?: ReadOptions): Promise<Uint8Array> {
    return gather(this.read(name, options));
  }

  async stat(name: string): Promise<FileInfo> {
    return infoOf(
      (await calling(() => this.#client.stat({ file: { ref: { case: "name", value: name } } }))).file,
    );
  }

  async *list(prefix = ""): AsyncGenerator<FileInfo> {
    for (let pageToken = "";;) {
      const page = await calling(() => this.#client.list({ prefix, pageToken }));
      yield* page.files.map(infoOf);
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }

  async remove(name: string): Promise<void> {
    await calling(() => this.#client.remove({ file: { ref: { case: "name", value: name } } }));
  }
}

function infoOf(file: File | undefined): FileInfo {
  if (file === undefined) {
    throw new SphereError(
      "target_misbehaved",
      "The node answered without a record",
    );
  }
  const { id, name, version, contentType, sizeBytes, sha256 } = file;
  const hex = [...sha256].map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  return {
    id,
    name,
    version: Number(version),
    contentType,
    sizeBytes: Number(sizeBytes),
    sha256: hex,
  };
}
