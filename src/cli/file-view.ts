import type { FileRecord, FileState, ShardHealth } from "../core/mod.ts";
import { showBytes } from "./progress.ts";
import { formatTable, printable, type Screen } from "./terminal.ts";

/** A record as `/v1` answers it: like FileRecord, with the time as RFC 3339. */
export interface FileJson extends Omit<FileRecord, "createdAt"> {
  readonly createdAt: string;
}

export interface ShardJson extends Omit<ShardHealth, "leaseExpiresAt" | "lastAuditAt"> {
  readonly leaseExpiresAt?: string;
  readonly lastAuditAt?: string;
}

export interface HealthJson {
  readonly file: FileJson;
  readonly shards: readonly ShardJson[];
  readonly margin: number;
  readonly risk: number;
}

const MOODS: Readonly<Record<FileState | ShardHealth["state"], "green" | "cyan" | "yellow" | "red" | "dim">> = {
  uploading: "cyan",
  stored: "cyan",
  replicated: "green",
  proven: "green",
  degraded: "yellow",
  lost: "red",
  removed: "dim",
  pending: "cyan",
  suspect: "yellow",
};

function styleState(state: FileState | ShardHealth["state"], { colors }: Screen): string {
  return colors[MOODS[state] ?? "dim"](state);
}

/** A file in a few lines. */
export function showFile(file: FileJson, screen: Screen): void {
  const { dim } = screen.colors;
  const { dataShards, parityShards } = file.policy;
  const rows: [string, string | undefined][] = [
    ["name", printable(file.name)],
    ["id", file.id],
    ["version", `${file.version}${file.isLatest ? " (the newest)" : ""}`],
    ["state", styleState(file.state, screen)],
    ["size", `${showBytes(file.sizeBytes)} (${file.sizeBytes} bytes)`],
    ["type", printable(file.contentType)],
    ["sha256", file.sha256],
    ["spread", `${dataShards}+${parityShards}, ${file.healthyShards} of ${dataShards + parityShards} shards healthy`],
    ["created", file.createdAt],
    ["shared by", file.sharedBy],
  ];
  const shown = rows.filter(([, value]) => value !== undefined && value !== "") as [string, string][];
  for (const line of formatTable(shown.map(([name, value]) => [dim(name), value]))) screen.line(line);
  showWarnings(file, screen);
}

function showWarnings({ warnings }: FileJson, screen: Screen): void {
  for (const warning of warnings) screen.line(`${screen.colors.yellow("warning:")} ${printable(warning)}`);
}

/** Files, a line each. */
export function showFiles(
  files: readonly FileJson[],
  screen: Screen,
  { heading }: { readonly heading: boolean },
): void {
  const { bold, dim } = screen.colors;
  const rows = files.map((file) => [
    showBytes(file.sizeBytes),
    styleState(file.state, screen),
    file.createdAt.replace(/\.\d+Z$/, "Z"),
    `v${file.version}`,
    file.id,
    printable(file.name) + (file.sharedBy === undefined ? "" : dim(` (from ${file.sharedBy})`)),
  ]);
  const head = heading ? [["SIZE", "STATE", "CREATED", "VERSION", "ID", "NAME"].map(bold)] : [];
  for (const line of formatTable([...head, ...rows])) screen.line(line);
}

/** A file's shards, and how many may still be lost. */
export function showHealth({ file, shards, margin, risk }: HealthJson, screen: Screen): void {
  const { bold, dim } = screen.colors;
  screen.line(`${bold(printable(file.name))} ${styleState(file.state, screen)}`);
  screen.line(`${marginText(margin)}, estimated risk of loss within a year ${riskText(risk)}`);
  showWarnings(file, screen);
  screen.line("");
  const rows = shards.map((shard) => [
    String(shard.index),
    styleState(shard.state, screen),
    printable(shard.provider),
    shard.leaseExpiresAt === undefined ? "" : `until ${shard.leaseExpiresAt.slice(0, 10)}`,
    shard.lastAuditAt === undefined ? "" : `proven ${shard.lastAuditAt.replace(/\.\d+Z$/, "Z")}`,
    dim(printable(shard.lastError ?? "").slice(0, 80)),
  ]);
  for (const line of formatTable([["SHARD", "STATE", "PROVIDER", "LEASE", "AUDIT", ""].map(bold), ...rows])) {
    screen.line(line);
  }
}

/** The health of many files, a line each. */
export function showHealthLine({ file, margin, risk }: HealthJson, screen: Screen): void {
  screen.line(`${styleState(file.state, screen)}  margin ${margin}  risk ${riskText(risk)}  ${printable(file.name)}`);
}

function marginText(margin: number): string {
  if (margin < 0) return "Too many shards are lost to read it";
  return margin === 0 ? "No more shard may be lost" : `${margin} more ${margin === 1 ? "shard" : "shards"} may be lost`;
}

function riskText(risk: number): string {
  if (risk === 0) return "0";
  return risk < 0.001 ? risk.toExponential(0) : `${(risk * 100).toFixed(1)} %`;
}
