import { create } from "@bufbuild/protobuf";
import { type NodeId, type TaskReceipt, type TaskTerms, toHex, type Usage } from "../core/mod.ts";
import * as taskPb from "../gen/velas/sphere/v1/task_pb.ts";
import { bytesOf, hexOf } from "./hex.ts";

/*
 * What a task used, and its receipt, between the domain and protobuf. Nothing is checked here: who reads a receipt asks whether it is signed,
 * and a field that is not as it was signed makes it unsigned.
 */

export function usageFromProto(usage: taskPb.TaskUsage | undefined): Usage {
  return {
    wallMicros: Number(usage?.wallMicros ?? 0n),
    inputBytes: Number(usage?.inputBytes ?? 0n),
    outputBytes: Number(usage?.outputBytes ?? 0n),
    instructions: Number(usage?.instructions ?? 0n),
    ...(usage !== undefined && usage.gpuMicros > 0n && { gpuMicros: Number(usage.gpuMicros) }),
  };
}

export function usageToProto(usage: Usage): taskPb.TaskUsage {
  return create(taskPb.TaskUsageSchema, {
    wallMicros: BigInt(usage.wallMicros),
    inputBytes: BigInt(usage.inputBytes),
    outputBytes: BigInt(usage.outputBytes),
    instructions: BigInt(usage.instructions),
    gpuMicros: BigInt(usage.gpuMicros ?? 0),
  });
}

export function receiptToProto(receipt: TaskReceipt): taskPb.TaskReceipt {
  const { version, provider, taskId, requester, plugin, pluginSha256, usage, finishedAt, terms } = receipt;
  return create(taskPb.TaskReceiptSchema, {
    version,
    provider,
    taskId,
    requester,
    plugin,
    pluginSha256,
    function: receipt.function,
    inputSha256: bytesOf(receipt.inputSha256),
    outputSha256: bytesOf(receipt.outputSha256),
    usage: usageToProto(usage),
    finishedAtMs: BigInt(finishedAt),
    ...(terms && {
      terms: {
        chainId: BigInt(terms.chainId),
        channels: terms.channels,
        channelId: bytesOf(terms.channelId),
        quote: bytesOf(terms.quote),
        charge: terms.charge,
      },
    }),
    key: bytesOf(receipt.key),
    keySignature: bytesOf(receipt.keySignature),
    signature: bytesOf(receipt.signature),
    nondeterministic: [...receipt.nondeterministic ?? []],
  });
}

const KNOWN_VERSIONS: ReadonlySet<number> = new Set([1, 2, 3] satisfies TaskReceipt["version"][]);

/** What a message says of what its task depended on. */
export function nondeterministicFromProto(
  { nondeterministic }: { readonly nondeterministic: readonly string[] },
): { readonly nondeterministic?: readonly string[] } {
  return nondeterministic.length === 0 ? {} : { nondeterministic };
}

/** Undefined for none, and for one of a version that this program does not know. */
export function receiptFromProto(receipt: taskPb.TaskReceipt | undefined): TaskReceipt | undefined {
  if (receipt === undefined || !KNOWN_VERSIONS.has(receipt.version)) return undefined;
  const { version, provider, taskId, requester, plugin, pluginSha256, usage, finishedAtMs, terms } = receipt;
  return {
    version: version as TaskReceipt["version"],
    provider: provider as NodeId,
    taskId,
    requester: requester as NodeId,
    plugin,
    pluginSha256,
    function: receipt.function,
    inputSha256: hexOf(receipt.inputSha256),
    outputSha256: hexOf(receipt.outputSha256),
    usage: usageFromProto(usage),
    ...nondeterministicFromProto(receipt),
    finishedAt: Number(finishedAtMs),
    ...(terms && { terms: termsFromProto(terms) }),
    key: toHex(receipt.key),
    keySignature: toHex(receipt.keySignature),
    signature: toHex(receipt.signature),
  };
}

function termsFromProto({ chainId, channels, channelId, quote, charge }: taskPb.TaskTerms): TaskTerms {
  return {
    chainId: Number(chainId),
    channels: channels as NodeId,
    channelId: toHex(channelId),
    quote: toHex(quote),
    charge,
  };
}
