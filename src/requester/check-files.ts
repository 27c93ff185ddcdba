import type { FileChange, StoredFile } from "../core/mod.ts";
import { decodeManifest, type Identity, openHeader, openManifest } from "../codec/mod.ts";
import { importedFile } from "./file-import.ts";
import type { FileKeyring } from "./file-keyring.ts";
import { hex, unhex } from "./hex.ts";

/** What a check reads of what a node knows of its files, and how it mends it. */
export interface CheckedFiles {
  /** The ids of records, of manifests, or of files whose uploads have digests, each in order and behind the given one. */
  ids(part: "records" | "manifests" | "journals", afterId: string, limit: number): Promise<string[]>;
  getMany(ids: readonly string[]): Promise<(StoredFile | undefined)[]>;
  manifest(id: string): Promise<Uint8Array | undefined>;
  pieces(fileId: string, first: number, limit: number): Promise<string[]>;
  write(changes: readonly FileChange[], options: { readonly durable: boolean }): Promise<void>;
}

export interface CheckFilesOptions {
  /** Opens manifests; without it nothing but their form is checked. */
  readonly keys: FileKeyring | undefined;
  /** Makes records for manifests that have none, and drops digests that belong to no upload. */
  readonly repair: boolean;
  /** By which the records that are made are due. */
  readonly now: number;
}

export interface FileProblem {
  readonly message: string;
  /** Whether `repair` mends it. */
  readonly repairable: boolean;
}

export interface FileCheck {
  readonly files: number;
  readonly problems: readonly FileProblem[];
}

const STEP = 500;

/**
 * Proves that what a node knows of its files belongs together: every file has a manifest that its own key made, of the same file, size and policy,
 * with a root for each shard and the places that the record names; no manifest is without a record, and no digests of a journal without an upload.
 * To be called while nothing is written.
 */
export async function checkFiles(store: CheckedFiles, options: CheckFilesOptions): Promise<FileCheck> {
  const problems: FileProblem[] = [];
  let files = 0;
  for await (const id of eachId(store, "records")) {
    files++;
    const fault = await faultOf(store, id, options.keys);
    if (fault !== undefined) problems.push({ message: fault, repairable: false });
  }
  for await (const id of eachId(store, "manifests")) {
    if (await recordOf(store, id) === undefined) problems.push(await orphanManifest(store, id, options));
  }
  for await (const id of eachId(store, "journals")) {
    const file = await recordOf(store, id);
    if (file === "damaged" || file?.upload !== undefined) continue;
    const why = file === undefined ? "there is no such file" : "it is no upload";
    problems.push({ message: `The journal has digests of file ${id}, and ${why}`, repairable: true });
    if (options.repair) await store.write([await dropPieces(store, id)], { durable: true });
  }
  return { files, problems };
}

/** What forgets all digests of an upload that were written so far. */
export async function dropPieces(store: Pick<CheckedFiles, "pieces">, fileId: string): Promise<FileChange> {
  let count = 0;
  for (;;) {
    const page = await store.pieces(fileId, count, STEP);
    count += page.length;
    if (page.length < STEP) return { type: "dropPieces", fileId, count };
  }
}

async function* eachId(store: CheckedFiles, part: Parameters<CheckedFiles["ids"]>[0]): AsyncGenerator<string> {
  let after = "";
  for (;;) {
    const ids = await store.ids(part, after, STEP);
    yield* ids;
    if (ids.length < STEP) return;
    after = ids.at(-1)!;
  }
}

async function recordOf(store: CheckedFiles, id: string): Promise<StoredFile | "damaged" | undefined> {
  try {
    return (await store.getMany([id]))[0];
  } catch {
    return "damaged";
  }
}

async function faultOf(store: CheckedFiles, id: string, keys: FileKeyring | undefined): Promise<string | undefined> {
  const file = await recordOf(store, id);
  if (file === undefined || file === "damaged" || file.id !== id) return `The record of file ${id} cannot be read`;
  const named = `File ${id} (${JSON.stringify(file.name.slice(0, 100))})`;
  try {
    if (file.upload !== undefined && keys !== undefined) openHeader(unhex(file.upload.header), masterOf(keys));
  } catch (error) {
    return `${named}: the header of its upload does not open: ${(error as Error).message}`;
  }
  const bytes = await store.manifest(id);
  // An upload gets its manifest with its last byte, and one that was given up never had one.
  if (bytes === undefined) return file.upload !== undefined ? undefined : `${named} has no manifest`;
  try {
    const manifest = keys === undefined ? decodeManifest(bytes) : openManifest(bytes, identityFor(file, keys)).manifest;
    const { fileId, sizeBytes, policy, shards } = manifest;
    const { dataShards, parityShards } = file.policy;
    if (hex(fileId) !== id) return `${named} has the manifest of file ${hex(fileId)}`;
    if (sizeBytes !== file.sizeBytes) return `${named} has ${file.sizeBytes} bytes, and ${sizeBytes} in its manifest`;
    if (policy.dataShards !== dataShards || policy.parityShards !== parityShards) {
      return `${named} is spread ${dataShards}+${parityShards}, and ${policy.dataShards}+${policy.parityShards} in its manifest`;
    }
    if (file.shards.length !== shards.length) {
      return `${named} has ${file.shards.length} shards, and ${shards.length} in its manifest`;
    }
    for (const [index, { state, target }] of file.shards.entries()) {
      const places = shards[index]!.providers.map((provider) => provider.slice(provider.indexOf("@") + 1));
      // One that is on its way may still go elsewhere; its manifest follows when it has come.
      if ((state === "stored" || state === "proven") && !places.includes(target)) {
        return `${named} has shard ${index} at ${target}, and its manifest at ${places.join(", ") || "no node"}`;
      }
    }
    return undefined;
  } catch (error) {
    return `${named} has a manifest that cannot be used: ${(error as Error).message}`;
  }
}

function masterOf({ masterKey }: FileKeyring): Identity {
  return { type: "master", key: masterKey };
}

function identityFor({ sharedBy }: Pick<StoredFile, "sharedBy">, keys: FileKeyring): Identity {
  return sharedBy === undefined ? masterOf(keys) : { type: "x25519", secretKey: keys.shareSecret };
}

/** A manifest without a record holds all that it takes to read its file: a record is made of it, and never is it dropped. */
async function orphanManifest(
  store: CheckedFiles,
  id: string,
  { keys, repair, now }: CheckFilesOptions,
): Promise<FileProblem> {
  const message = `There is a manifest of file ${id} and no record`;
  try {
    const bytes = (await store.manifest(id))!;
    if (keys === undefined) return { message, repairable: false };
    const file = importedFile(bytes, { identity: masterOf(keys), now });
    if (file.id !== id) return { message: `${message}; it is that of file ${file.id}`, repairable: false };
    if (repair) await store.write([{ type: "save", file: { ...file, name: `recovered/${id}` } }], { durable: true });
    return { message: `${message}; its file is called ${JSON.stringify(file.name.slice(0, 100))}`, repairable: true };
  } catch (error) {
    return { message: `${message}, and it does not open: ${(error as Error).message}`, repairable: false };
  }
}
