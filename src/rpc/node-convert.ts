import { Buffer } from "node:buffer";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { NodeError, type NodeInfo, type PluginFunction, type PluginInfo } from "../core/mod.ts";
import * as nodePb from "../gen/velas/sphere/v1/node_pb.ts";
import { misbehaved } from "./misbehaved.ts";
import { hasNodeIdForm } from "./requester-text.ts";

function functionToProto(fn: PluginFunction): nodePb.FunctionInfo {
  return create(nodePb.FunctionInfoSchema, { ...fn });
}

function functionFromProto(fn: nodePb.FunctionInfo): PluginFunction {
  return {
    name: fn.name,
    inputContentType: fn.inputContentType,
    outputContentType: fn.outputContentType,
    description: fn.description,
  };
}

function pluginToProto(plugin: PluginInfo): nodePb.PluginInfo {
  return create(nodePb.PluginInfoSchema, {
    name: plugin.name,
    version: plugin.version,
    sha256: plugin.sha256,
    runtime: plugin.runtime,
    functions: plugin.functions.map(functionToProto),
    description: plugin.description,
    isDefault: plugin.isDefault,
    ready: plugin.ready,
    gpu: plugin.gpu !== undefined,
  });
}

/** A plugin that a peer offers. Peers list only enabled ones, and say nothing of addresses and sizes. */
function pluginFromProto(plugin: nodePb.PluginInfo): PluginInfo {
  return {
    name: plugin.name,
    version: plugin.version,
    sha256: plugin.sha256,
    runtime: plugin.runtime === "grpc" ? "grpc" : "wasm",
    functions: plugin.functions.map(functionFromProto),
    description: plugin.description,
    isDefault: plugin.isDefault,
    enabled: true,
    ready: plugin.ready,
    // How many wait for it there is not told.
    ...(plugin.gpu && { gpu: { running: 0, waiting: 0 } }),
  };
}

/** The bytes of a node's description, which it signs; the nonce is the caller's. Only enabled plugins are told to others. */
export function encodeNodeInfo(info: NodeInfo, nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = create(nodePb.NodeInfoSchema, {
    nodeId: info.nodeId,
    name: info.name,
    version: info.version,
    plugins: info.plugins.filter((plugin) => plugin.enabled).map(pluginToProto),
    issuedAt: timestampFromMs(info.issuedAt),
    nonce: nonce as Uint8Array<ArrayBuffer>,
    limits: {
      inputBytes: BigInt(info.limits.inputBytes),
      outputBytes: BigInt(info.limits.outputBytes),
      memoryBytes: BigInt(info.limits.memoryBytes),
      timeoutMs: BigInt(info.limits.timeoutMs),
      instructions: BigInt(info.limits.instructions ?? 0),
    },
    region: info.region ?? "",
    ...(info.macKey !== undefined && { macKey: info.macKey as Uint8Array<ArrayBuffer> }),
    chainId: BigInt(info.chainId ?? 0),
    moduleBytes: BigInt(info.moduleBytes ?? 0),
    macVersion: info.macVersion ?? 0,
  });
  return toBinary(nodePb.NodeInfoSchema, message);
}

/** Reads the bytes of a peer's description. Throws `target_misbehaved` when they are none. The signature is not looked at. */
export function decodeNodeInfo(bytes: Uint8Array): { readonly info: NodeInfo; readonly nonce: Uint8Array } {
  let message: nodePb.NodeInfo;
  try {
    message = fromBinary(nodePb.NodeInfoSchema, bytes);
  } catch (cause) {
    throw new NodeError("target_misbehaved", "The target's description of itself cannot be read", { cause });
  }
  if (!hasNodeIdForm(message.nodeId)) throw misbehaved("its description has no node id");
  const info: NodeInfo = {
    nodeId: message.nodeId,
    name: message.name,
    version: message.version,
    plugins: message.plugins.map(pluginFromProto),
    issuedAt: message.issuedAt ? timestampMs(message.issuedAt) : 0,
    limits: {
      inputBytes: Number(message.limits?.inputBytes ?? 0n),
      outputBytes: Number(message.limits?.outputBytes ?? 0n),
      memoryBytes: Number(message.limits?.memoryBytes ?? 0n),
      timeoutMs: Number(message.limits?.timeoutMs ?? 0n),
      // A peer that does not meter sends none.
      ...(message.limits !== undefined && message.limits.instructions > 0n &&
        { instructions: Number(message.limits.instructions) }),
    },
    ...(message.region !== "" && { region: message.region }),
    ...(message.macKey.length === 32 && { macKey: message.macKey }),
    ...(message.macVersion !== 0 && { macVersion: message.macVersion }),
    ...(message.chainId !== 0n && { chainId: Number(message.chainId) }),
    ...(message.moduleBytes !== 0n && { moduleBytes: Number(message.moduleBytes) }),
  };
  return { info, nonce: message.nonce };
}

/** What is signed in front of a description: it keeps the signature from meaning anything else. */
const NODE_INFO_PREFIX = "velas-sphere node info v1\n";

/** The message that a node signs for a description: the prefix, then the bytes as sent. */
export function nodeInfoMessage(info: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat([Buffer.from(NODE_INFO_PREFIX), info]));
}
