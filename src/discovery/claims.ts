import {
  NodeError,
  type NodeInfo,
  offerDigest,
  type PeerClaims,
  type PeerOffer,
  type PeerPlugin,
  recoverDigestSigner,
  type SignedOffer,
} from "../core/mod.ts";
import type { ProbeAnswer } from "./ports.ts";

const MAX_PLUGINS = 64;
const MAX_FUNCTIONS = 32;
const MAX_TEXT = 64;

/** What is kept of an answer: every text and list cut, so that no peer decides how much memory its record takes. */
export function claimsOf(answer: ProbeAnswer, nowMs: number): PeerClaims {
  const { info, keepsShards } = answer;
  const offer = answer.offer === undefined ? undefined : checkOffer(answer.offer, info, nowMs);
  const problem = typeof offer === "string" ? offer : answer.offerProblem;
  return {
    name: cut(info.name),
    version: cut(info.version),
    region: regionOf(info.region ?? ""),
    plugins: info.plugins.slice(0, MAX_PLUGINS).map(pluginOf),
    limits: limitsOf(info),
    ...(typeof offer === "object" && { offer }),
    ...(problem !== undefined && { offerProblem: problem.slice(0, 200) }),
    keepsShards,
    ...(info.moduleBytes !== undefined && { moduleBytes: count(info.moduleBytes) }),
  };
}

/** Whether a peer says that it runs a plugin's function now. Empty texts mean its defaults, as in a task. */
export function hasFunction(claims: PeerClaims, plugin: string, fn: string): boolean {
  return claims.plugins.some((one) => isMeant(one, plugin) && one.ready && (fn === "" || one.functions.includes(fn)));
}

/** Whether a peer says that what a reference to a plugin means there works on no GPU. */
export function needsNoGpu(claims: PeerClaims, plugin: string): boolean {
  const meant = claims.plugins.filter((one) => isMeant(one, plugin));
  return meant.length > 0 && meant.every(({ gpu }) => gpu === false);
}

function isMeant({ name, version, sha256, isDefault }: PeerPlugin, plugin: string): boolean {
  if (plugin === "") return isDefault;
  return plugin === name || plugin === `${name}@${version}` || plugin === sha256;
}

/** A region as it is kept: printable ASCII, else none. */
export function regionOf(text: string): string {
  return /^[\x21-\x7e][\x20-\x7e]{0,31}$/.test(text) ? text : "";
}

function pluginOf(
  { name, version, sha256, functions, isDefault, ready, gpu }: NodeInfo["plugins"][number],
): PeerPlugin {
  return {
    name: cut(name),
    version: cut(version),
    sha256: cut(sha256),
    functions: functions.slice(0, MAX_FUNCTIONS).map((fn) => cut(fn.name)),
    isDefault,
    ready,
    gpu: gpu !== undefined,
  };
}

function limitsOf({ limits }: NodeInfo): NodeInfo["limits"] {
  const { inputBytes, outputBytes, memoryBytes, timeoutMs, instructions } = limits;
  return {
    inputBytes: count(inputBytes),
    outputBytes: count(outputBytes),
    memoryBytes: count(memoryBytes),
    timeoutMs: count(timeoutMs),
    ...(instructions !== undefined && { instructions: count(instructions) }),
  };
}

/** The offer, or what is wrong with it. */
function checkOffer({ settlement, offer, signature }: SignedOffer, info: NodeInfo, nowMs: number): PeerOffer | string {
  const { provider, rates, defaultTimeoutMs, defaultOutputBytes, maxInputBytes, costTable, expiresAt } = offer;
  if (provider.toLowerCase() !== info.nodeId.toLowerCase()) return `its offer is one of ${provider}`;
  if (!(expiresAt > nowMs)) return "its offer has expired";
  try {
    const signer = recoverDigestSigner(offerDigest(settlement, offer), signature);
    if (signer.toLowerCase() !== info.nodeId.toLowerCase()) return `its offer is signed by ${signer}`;
  } catch (error) {
    return `its offer's signature is none (${error instanceof NodeError ? error.code : "unreadable"})`;
  }
  return {
    settlement,
    rates,
    defaultTimeoutMs: count(defaultTimeoutMs),
    defaultOutputBytes: count(defaultOutputBytes),
    maxInputBytes: count(maxInputBytes),
    ...(costTable !== undefined && { costTable }),
    expiresAt,
  };
}

/** A short text on one line. */
function cut(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/\p{Cc}/gu, " ").toWellFormed();
}

/** A quantity that JSON carries exactly. */
function count(value: number): number {
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
