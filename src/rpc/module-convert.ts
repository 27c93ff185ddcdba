import type { ModuleInfo } from "../core/mod.ts";
import type { Module } from "../gen/velas/sphere/v1/task_pb.ts";

/** A module as it goes on the wire. */
export function moduleToProto({ sha256, sizeBytes, name, version, functions }: ModuleInfo) {
  return { sha256, sizeBytes: BigInt(sizeBytes), name, version, functions: [...functions] };
}

/** A module as it came over the wire. */
export function moduleFromProto({ sha256, sizeBytes, name, version, functions }: Module): ModuleInfo {
  return { sha256, sizeBytes: Number(sizeBytes), name, version, functions };
}
