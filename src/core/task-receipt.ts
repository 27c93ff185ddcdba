import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { Buffer } from "node:buffer";
import { NodeError } from "./errors.ts";
import { isNodeId, type NodeKey, recoverSigner } from "./identity.ts";
import type { NodeId, RequesterId } from "./ids.ts";
import type { TaskReceipt, TaskTerms } from "./receipt.ts";
import type { TaskRecord } from "./task.ts";
import { fromHex, toHex } from "./typed-data.ts";
import type { Usage } from "./usage.ts";

/*
 * Task receipts: a provider's signed word on what a task was given, what it gave and what it cost. docs/protocol.md specifies the form and
 * test/vectors/task-receipt.json pins it. The node key vouches once for an Ed25519 key, which then signs each receipt: that is many times
 * cheaper, and what a receipt bears proves it to anybody, without asking its provider.
 */

const TEXT = "velas-sphere task receipt v";
const KEY_TEXT = "velas-sphere receipt key v1";
const KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** What an Ed25519 public key in SubjectPublicKeyInfo begins with (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Signs the receipts of one provider. */
export interface ReceiptSigner {
  /** The receipt of a task that succeeded. Throws `internal` for a record that has not. */
  sign(record: TaskRecord, terms?: TaskTerms): TaskReceipt;
}

/** Makes a provider's signer. Its key lives as long as the process. */
export function createReceiptSigner(
  key: NodeKey,
  { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync("ed25519"),
): ReceiptSigner {
  const provider = key.nodeId;
  const raw = toHex(publicKey.export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length));
  const vouched = { key: raw, keySignature: hexOf(key.sign(keyText(provider, raw))) };
  return {
    sign(record, terms) {
      const { outputSha256, usage, finishedAt, nondeterministic } = record;
      if (outputSha256 === undefined || usage === undefined || finishedAt === undefined) {
        throw new NodeError("internal", `Task ${record.id} has no receipt: it is ${record.state}`);
      }
      const body: Omit<TaskReceipt, "signature"> = {
        version: versionOf({ usage, nondeterministic }),
        provider,
        taskId: record.id,
        requester: record.requester,
        plugin: record.resolvedPlugin,
        pluginSha256: record.pluginSha256,
        function: record.function,
        inputSha256: record.inputSha256,
        outputSha256,
        usage,
        ...(nondeterministic && { nondeterministic }),
        finishedAt,
        ...(terms && { terms }),
        ...vouched,
      };
      return { ...body, signature: hexOf(sign(null, taskReceiptText(body), privateKey)) };
    },
  };
}

/**
 * What the key of a receipt signs: every field on a line of its own, those of absent terms empty. The time on a GPU is there from the
 * second version on, which is for tasks that had some, and what made the result depend on more than the input in the third. Throws `invalid_argument` for a field
 * that holds a line break, or a number that is none.
 */
export function taskReceiptText(receipt: Omit<TaskReceipt, "signature">): Uint8Array {
  const { usage, terms } = receipt;
  const lines = [
    TEXT + numberText(receipt.version),
    receipt.provider,
    receipt.taskId,
    receipt.requester,
    receipt.plugin,
    receipt.pluginSha256,
    receipt.function,
    receipt.inputSha256,
    receipt.outputSha256,
    ...[usage.wallMicros, usage.inputBytes, usage.outputBytes, usage.instructions].map(numberText),
    ...(receipt.version === 1 ? [] : [numberText(usage.gpuMicros ?? 0)]),
    ...(receipt.version === 3 ? [causesText(receipt.nondeterministic!)] : []),
    numberText(receipt.finishedAt),
    ...(terms === undefined
      ? ["", "", "", "", ""]
      : [numberText(terms.chainId), terms.channels, terms.channelId, terms.quote, terms.charge]),
  ];
  const broken = lines.find((line) => line.includes("\n"));
  if (broken !== undefined) {
    throw new NodeError(
      "invalid_argument",
      `No field of a receipt holds a line break, as ${JSON.stringify(broken.slice(0, 80))} does`,
    );
  }
  return new TextEncoder().encode(lines.join("\n"));
}

/** Whether the provider that a receipt names has signed it. */
export function isTaskReceiptSigned(receipt: TaskReceipt): boolean {
  const { version, provider, key, keySignature, signature } = receipt;
  try {
    // A version says what is signed; in another one the rest would be anybody's word.
    if (version !== versionOf(receipt)) return false;
    if (!isVouched(provider, key, keySignature)) return false;
    const bytes = fromHex(signature);
    if (bytes.length !== ED25519_SIGNATURE_BYTES) return false;
    const spki = Buffer.concat([SPKI_PREFIX, fromHex(key)]);
    return verify(null, taskReceiptText(receipt), createPublicKey({ key: spki, format: "der", type: "spki" }), bytes);
  } catch {
    return false;
  }
}

/** The lowest version of the form that has room for what there is to say. */
function versionOf(
  { usage, nondeterministic }: { readonly usage: Usage; readonly nondeterministic?: readonly string[] | undefined },
): TaskReceipt["version"] {
  if (nondeterministic !== undefined) return 3;
  return usage.gpuMicros === undefined ? 1 : 2;
}

/** What a receipt must say. What is undefined is not known, and not looked at. */
export interface ReceiptExpectation {
  readonly provider?: NodeId | undefined;
  readonly taskId?: string | undefined;
  readonly requester?: RequesterId | undefined;
  readonly inputSha256?: string | undefined;
  readonly outputSha256?: string | undefined;
  readonly usage?: Usage | undefined;
  /** Looked at with the usage: absent says that nothing made the task non-deterministic. */
  readonly nondeterministic?: readonly string[] | undefined;
}

/** What is wrong with a receipt, in words; undefined when it is signed and says what it must. */
export function faultOfReceipt(receipt: TaskReceipt, expected: ReceiptExpectation): string | undefined {
  const { provider, taskId, requester, inputSha256, outputSha256, usage, nondeterministic } = expected;
  const differs = (name: string, said: string, is: string | undefined): string | undefined =>
    is === undefined || said.toLowerCase() === is.toLowerCase()
      ? undefined
      : `its receipt names the ${name} ${JSON.stringify(said.slice(0, 200))}, not ${is}`;
  const fault = differs("provider", receipt.provider, provider) ??
    differs("task", receipt.taskId, taskId) ??
    // A call that was not signed is nobody's to its provider.
    (receipt.requester === "anonymous" ? undefined : differs("requester", receipt.requester, requester)) ??
    differs("input", receipt.inputSha256, inputSha256) ??
    differs("output", receipt.outputSha256, outputSha256);
  if (fault !== undefined) return fault;
  for (const name of ["wallMicros", "inputBytes", "outputBytes", "instructions", "gpuMicros"] as const) {
    if (usage !== undefined && usage[name] !== receipt.usage[name]) {
      return `its receipt says ${receipt.usage[name] ?? 0} ${name}, and its answer ${usage[name] ?? 0}`;
    }
  }
  const [signed, said] = [receipt.nondeterministic ?? [], nondeterministic ?? []].map((causes) => causes.join(","));
  if (usage !== undefined && signed !== said) {
    return `its receipt says that it depends on ${signed || "nothing"} beside its input, and its answer on ${
      said || "nothing"
    }`;
  }
  return isTaskReceiptSigned(receipt) ? undefined : `its receipt is not signed by ${receipt.provider}`;
}

/** Keys that were found good, since recovering who vouches takes about a millisecond. */
const vouchedKeys = new Set<string>();
const MAX_VOUCHED_KEYS = 1000;

function isVouched(provider: NodeId, key: string, signature: string): boolean {
  const known = `${provider} ${key} ${signature}`;
  if (vouchedKeys.has(known)) return true;
  if (!isNodeId(provider) || fromHex(key).length !== KEY_BYTES) return false;
  if (recoverSigner(keyText(provider, key), fromHex(signature)) !== provider) return false;
  if (vouchedKeys.size >= MAX_VOUCHED_KEYS) vouchedKeys.clear();
  vouchedKeys.add(known);
  return true;
}

function keyText(provider: NodeId, key: string): Uint8Array {
  return new TextEncoder().encode([KEY_TEXT, provider, key].join("\n"));
}

function causesText(causes: readonly string[]): string {
  const broken = causes.find((cause) => !/^[a-z][a-z0-9.-]*$/.test(cause));
  if (broken === undefined) return causes.join(",");
  throw new NodeError("invalid_argument", `A receipt cannot name ${JSON.stringify(broken.slice(0, 80))} as a cause`);
}

function numberText(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new NodeError("invalid_argument", `A number in a receipt is whole and from 0 to 2^53-1, not ${value}`);
  }
  return String(value);
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}`;
}
