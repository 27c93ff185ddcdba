import { NodeError } from "../core/mod.ts";

/** How long an answer about the disk's room is believed, in milliseconds. */
const DISK_CHECK_MS = 1000;

export interface ShardRoomOptions {
  /** The most bytes of shards, and of what uploads set aside. */
  readonly quotaBytes: number;
  /** What is left on the disk for others, in bytes. */
  readonly minFreeBytes: number;
  /** Bytes of the shards that are stored. */
  readonly storedBytes: () => number;
  /** Bytes that the disk still takes. */
  readonly diskFreeBytes: () => Promise<number>;
}

/** The room for shards: what of the quota is stored and set aside for uploads, open and suspended, and what the disk has left. */
export class ShardRoom {
  readonly #options: ShardRoomOptions;
  /** What each upload counts in the quota, by its key. */
  readonly #aside = new Map<string, number>();
  #asideBytes = 0;
  #diskFree = Infinity;
  #diskCheckedAt = -Infinity;

  constructor(options: ShardRoomOptions) {
    this.#options = options;
  }

  /** Bytes set aside for all uploads. */
  get asideBytes(): number {
    return this.#asideBytes;
  }

  /** Bytes of the quota that are neither stored nor set aside. */
  get freeBytes(): number {
    return Math.max(0, this.#options.quotaBytes - this.#options.storedBytes() - this.#asideBytes);
  }

  /** Bytes set aside for an upload. */
  of(key: string): number {
    return this.#aside.get(key) ?? 0;
  }

  /** Sets aside so many bytes for an upload in place of what it had; 0 forgets it. */
  set(key: string, bytes: number): void {
    this.#asideBytes += bytes - this.of(key);
    if (bytes === 0) this.#aside.delete(key);
    else this.#aside.set(key, bytes);
  }

  /**
   * As {@link set}, in the turn in which it is checked, so that uploads side by side cannot both have the same room. Throws `storage_full`, with
   * nothing changed, when the quota has less than that.
   */
  claim(key: string, bytes: number): void {
    const free = this.freeBytes + this.of(key);
    if (bytes > free) {
      const { quotaBytes } = this.#options;
      throw new NodeError(
        "storage_full",
        `No room for ${bytes} bytes: ${free} of the quota of ${quotaBytes} are free (storage.quotaBytes)`,
        { data: { wantedBytes: bytes, freeBytes: free, quotaBytes } },
      );
    }
    this.set(key, bytes);
  }

  /** Throws `storage_full` when the disk would have too little left after so many bytes. */
  async assertDisk(sizeBytes: number): Promise<void> {
    const now = performance.now();
    if (now - this.#diskCheckedAt >= DISK_CHECK_MS) {
      this.#diskCheckedAt = now;
      this.#diskFree = await this.#options.diskFreeBytes();
    }
    const { minFreeBytes } = this.#options;
    if (this.#diskFree - sizeBytes >= minFreeBytes) return;
    throw new NodeError(
      "storage_full",
      `The disk has ${this.#diskFree} bytes left, and ${minFreeBytes} are to stay free (storage.minFreeBytes): free some space`,
      { data: { freeBytes: this.#diskFree, minFreeBytes }, retryAfterMs: 60_000 },
    );
  }
}
