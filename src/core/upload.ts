import type { FilePolicy } from "./file.ts";

/** What an upload is to become: the options of a put, as they were given when it began. */
export interface UploadOrder {
  readonly name: string;
  readonly contentType: string;
  readonly policy?: FilePolicy;
  /** Bytes that will come, when known. */
  readonly sizeBytes?: number;
  readonly targets?: readonly string[];
  readonly allowFewer?: boolean;
  /** The client's own word for what it sends, by which it finds the upload again; at most 256 characters. */
  readonly source?: string;
}

/** An upload that goes on after its connection, its client, or the node was gone. Times are milliseconds since the epoch. */
export interface UploadRecord {
  /** 32 lower-case hex digits. */
  readonly id: string;
  readonly order: UploadOrder;
  /** Bytes that came so far and will be there after a crash of the node. */
  readonly offset: number;
  /** Whether a request is sending now. */
  readonly active: boolean;
  readonly createdAt: number;
  /** When it is forgotten, unless something comes before. */
  readonly expiresAt: number;
  /** The version that it became; its bytes are then gone from here. */
  readonly fileId?: string;
}

/**
 * Holds the bytes of uploads until they are complete. Every method throws a NodeError: `not_found` for an upload that is not here, or no
 * longer; `storage_full` when there is no room.
 */
export interface UploadSpool {
  /** The most bytes that one upload may have. */
  readonly maxBytes: number;
  create(order: UploadOrder): Promise<UploadRecord>;
  get(id: string): UploadRecord;
  /** All of them, the oldest first. */
  list(): readonly UploadRecord[];
  /** Ends a request that still sends, and returns where the upload then stands. */
  settle(id: string): Promise<UploadRecord>;
  /**
   * Adds bytes at the end, which must be at `offset`: else `failed_precondition` with `expectedOffset`. A request that still sends is ended
   * first. What came before the source failed is kept.
   */
  append(id: string, offset: number, source: AsyncIterable<Uint8Array>): Promise<UploadRecord>;
  read(id: string): AsyncIterable<Uint8Array>;
  /** Drops the bytes and remembers what they became. */
  finish(id: string, fileId: string): Promise<UploadRecord>;
  remove(id: string): Promise<void>;
}
