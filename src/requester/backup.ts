import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { NodeError, type ProviderScore, type StoredFile } from "../core/mod.ts";
import { DEFAULT_LOG_N, deriveMasterKey, openStream, type RandomSource, sealStream } from "../codec/mod.ts";
import type { FileStore } from "./file-ports.ts";

/*
 * A backup: all that it takes to be this node again towards its files, in one encrypted stream. docs/files.md specifies it: a header of 25
 * bytes, then JSON lines sealed in cells under a key from a passphrase.
 */

const MAGIC = Buffer.from("VSPHBAK");
/** 1 has no custody statements. */
const VERSIONS = [1, 2];
const VERSION = 2;
const SALT_BYTES = 16;
const HEADER_BYTES = MAGIC.length + 2 + SALT_BYTES;
/** The most that the cost of a foreign backup's passphrase may be: 1 GiB of memory. */
const MAX_LOG_N = 20;
const MAX_LINE_BYTES = 4 << 20; // a record with its manifest has some 200 KiB at most
const MIN_PASSPHRASE = 8;
const PAGE = 200;

/** One line of a backup. */
export type BackupEntry =
  /** A key file of the data directory, as text. */
  | { readonly type: "secret"; readonly name: string; readonly text: string }
  /** A file's record, with its manifest in base64. */
  | { readonly type: "file"; readonly file: StoredFile; readonly manifest?: string }
  | { readonly type: "score"; readonly score: ProviderScore }
  /** A custody statement under its id, in the form that the books of payments keep it in. From version 2 on. */
  | { readonly type: "custody"; readonly id: string; readonly text: string }
  /** The last line: how many files there were, and from version 2 on how many statements. */
  | { readonly type: "end"; readonly files: number; readonly custody?: number };

export interface BackupOptions {
  readonly store: FileStore;
  /** The custody statements that can still be challenged, by their ids, as texts. */
  readonly custody?: () => Promise<readonly (readonly [id: string, text: string])[]>;
  /** The key files of the data directory by their names. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly passphrase: string;
  readonly random: RandomSource;
  /** Cost of the passphrase; by default that of master keys. */
  readonly logN?: number;
}

/**
 * Writes a backup while the node runs. What is put, renamed or removed meanwhile may be in it or not; what was there before and stays is.
 * Uploads that are going on are left out. Throws `invalid_argument` for a passphrase below 8 characters.
 */
export async function* createBackup(options: BackupOptions): AsyncGenerator<Uint8Array> {
  const { passphrase, random, logN = DEFAULT_LOG_N } = options;
  checkPassphrase(passphrase);
  const salt = random(SALT_BYTES);
  const header = Buffer.concat([MAGIC, Buffer.of(VERSION, logN), salt]);
  yield header;
  yield* sealStream(lines(options), await keysOf(header, passphrase));
}

/**
 * Reads a backup. Its last entry is `end`, and only then is it known to be whole. Throws `invalid_argument` for what is no backup,
 * `permission_denied` for a wrong passphrase, and `data_corrupt` for one that was changed or cut.
 */
export async function* readBackup(source: AsyncIterable<Uint8Array>, passphrase: string): AsyncGenerator<BackupEntry> {
  const reader = new HeadedStream(source);
  const header = await reader.take(HEADER_BYTES);
  if (header.length < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new NodeError("invalid_argument", "This is no backup of a Velas Sphere node");
  }
  const [version, logN] = [header[MAGIC.length]!, header[MAGIC.length + 1]!];
  if (!VERSIONS.includes(version)) {
    throw new NodeError(
      "unimplemented",
      `The backup has version ${version}; this program reads ${VERSIONS.join(" and ")}`,
    );
  }
  if (logN < 10 || logN > MAX_LOG_N) {
    throw new NodeError("invalid_argument", `The backup asks for scrypt at 2^${logN}; 2^10 to 2^${MAX_LOG_N} is taken`);
  }
  const plaintext = openStream(reader.rest(), await keysOf(header, passphrase));
  let opened = false;
  let ended = false;
  try {
    for await (const line of splitLines(plaintext)) {
      opened = true;
      const entry = parse(line);
      ended = entry.type === "end";
      yield entry;
    }
  } catch (error) {
    if (opened || !(error instanceof NodeError) || error.code !== "data_corrupt") throw error;
    throw new NodeError(
      "permission_denied",
      "The backup does not open: the passphrase is wrong, or its first part damaged",
    );
  }
  if (!ended) throw new NodeError("data_corrupt", "The backup has no end: it was cut");
}

async function* lines({ store, secrets, custody }: BackupOptions): AsyncGenerator<Uint8Array> {
  for (const [name, text] of Object.entries(secrets)) yield lineOf({ type: "secret", name, text });
  let files = 0;
  let after = "";
  for (;;) {
    const page = await store.all(after, PAGE);
    for (const file of page) {
      after = file.id;
      if (file.phase === "uploading") continue;
      const manifest = await store.manifest(file.id);
      yield lineOf({ type: "file", file, ...(manifest && { manifest: Buffer.from(manifest).toString("base64") }) });
      files++;
    }
    if (page.length < PAGE) break;
  }
  for (const score of await store.scores()) yield lineOf({ type: "score", score });
  const statements = await custody?.() ?? [];
  for (const [id, text] of statements) yield lineOf({ type: "custody", id, text });
  yield lineOf({ type: "end", files, custody: statements.length });
}

function lineOf(entry: BackupEntry): Uint8Array {
  return Buffer.from(`${JSON.stringify(entry)}\n`);
}

function parse(line: string): BackupEntry {
  try {
    const entry = JSON.parse(line) as BackupEntry;
    if (["secret", "file", "score", "custody", "end"].includes(entry.type)) return entry;
  } catch {
    // Falls through: it was sealed by something else.
  }
  throw new NodeError("data_corrupt", "The backup holds a line that this program does not know");
}

async function* splitLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield rest.toString("utf8", 0, end);
      rest = rest.subarray(end + 1);
    }
    if (rest.length > MAX_LINE_BYTES) throw new NodeError("data_corrupt", "The backup holds a line without an end");
  }
}

async function keysOf(header: Uint8Array, passphrase: string) {
  const salt = header.slice(MAGIC.length + 2);
  const payloadKey = await deriveMasterKey(passphrase, { salt, logN: header[MAGIC.length + 1]! });
  return { payloadKey, headerHash: createHash("sha256").update(header).digest() };
}

function checkPassphrase(passphrase: string): void {
  if (passphrase.length >= MIN_PASSPHRASE) return;
  throw new NodeError(
    "invalid_argument",
    `The passphrase has ${passphrase.length} characters: use at least ${MIN_PASSPHRASE}; whoever guesses it is this node`,
  );
}

/** A stream whose beginning is taken off. */
class HeadedStream {
  readonly #source: AsyncIterator<Uint8Array>;
  #held = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async take(length: number): Promise<Buffer> {
    while (this.#held.length < length) {
      const next = await this.#source.next();
      if (next.done === true) break;
      this.#held = Buffer.concat([this.#held, next.value]);
    }
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    if (this.#held.length > 0) yield this.#held;
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next()) yield next.value;
  }
}
