/** One version of a file. */
export interface FileInfo {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly contentType: string;
  readonly sizeBytes: number;
  /** In lower-case hex. */
  readonly sha256: string;
}

export type Content = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface PutOptions {
  readonly contentType?: string;
  /** Data and parity shards; the node's default when absent. */
  readonly policy?: {
    readonly dataShards: number;
    readonly parityShards: number;
  };
  /** Take fewer distinct providers than shards rather than refuse. */
  readonly allowFewer?: boolean;
  readonly signal?: AbortSignal;
}

export interface ReadOptions {
  /** The first byte. */
  readonly start?: number;
  /** The byte to stop before. */
  readonly end?: number;
  readonly signal?: AbortSignal;
}

/** The owner's files at a node. Every method throws a SphereError. */
export interface Files {
  put(name: string, content: Content, options?: PutOptions): Promise<FileInfo>;
  /** The newest version's content, in pieces, each verified before it is sent. */
  read(name: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
  get(name: string, options?: ReadOptions): Promise<Uint8Array>;
  stat(name: string): Promise<FileInfo>;
  list(prefix?: string): AsyncIterable<FileInfo>;
  /** Removes all versions. */
  remove(name: string): Promise<void>;
}

/** Pieces as one. */
export async function gather(
  pieces: AsyncIterable<Uint8Array>,
): Promise<Uint8Array> {
  const list: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    list.push(piece);
    size += piece.length;
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of list) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Content as pieces. */
export async function* piecesOf(
  content: Content,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const source = typeof content === "string"
    ? [new TextEncoder().encode(content)]
    : content instanceof Uint8Array
    ? [content]
    : content;
  for await (const piece of source) {
    for (let at = 0; at < piece.length; at += maxBytes) {
      yield piece.subarray(at, at + maxBytes);
    }
  }
}
