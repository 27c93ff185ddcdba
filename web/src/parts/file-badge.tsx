import type { JSX } from "preact";
import type { FileState, ShardHealth } from "../api-types.ts";

const FILE_TONES: Readonly<Record<FileState, string>> = {
  uploading: "accent",
  stored: "accent",
  replicated: "ok",
  proven: "ok",
  degraded: "warn",
  lost: "bad",
  removed: "dim",
};

const MEANINGS: Readonly<Record<FileState, string>> = {
  uploading: "Not all of it has come yet",
  stored: "Enough shards are durable to read it; the rest follow",
  replicated: "All shards are durable",
  proven: "All shards are durable and have passed an audit",
  degraded: "Shards are lost, but it can be read; repair it",
  lost: "Too many shards are lost to read it",
  removed: "Its shards are being freed",
};

export function FileBadge({ state }: { readonly state: FileState }): JSX.Element {
  return <span class={`badge ${FILE_TONES[state]}`} title={MEANINGS[state]}>{state}</span>;
}

export const SHARD_TONES: Readonly<Record<ShardHealth["state"], string>> = {
  pending: "accent",
  stored: "accent",
  proven: "ok",
  suspect: "warn",
  lost: "bad",
};
