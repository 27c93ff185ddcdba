import { NodeError } from "../core/mod.ts";
import { checkExternalManifest, type ExternalManifest, ORIGINAL_MANIFEST } from "./external-manifest.ts";
import { explainWire, type ExternalConnection } from "./external-protocol.ts";

/** Why a plugin cannot take calls, in words. */
export class Unready extends Error {}

/** How a plugin is asked about its state, and what the problem texts call the place where it is. */
export interface ProbeOptions {
  /** As in the plugin's options. */
  readonly protocol: "auto" | "velas" | "original";
  readonly where: string;
  /** For each question, in milliseconds. */
  readonly probeTimeoutMs: number;
}

/** What a plugin that takes calls says of itself, and the protocol that it speaks. */
export interface ProbedPlugin {
  readonly manifest: ExternalManifest;
  readonly protocol: "velas" | "original";
}

/** Asks a plugin what it is and whether it serves. Throws {@link Unready}, or what the connection throws, when it cannot take calls. */
export async function probePlugin(
  connection: ExternalConnection,
  options: ProbeOptions & { readonly signal: AbortSignal },
): Promise<ProbedPlugin> {
  const probed = await describe(connection, options);
  await checkHealth(connection, options);
  return probed;
}

/** Why a plugin cannot take calls, for its owner, from what {@link probePlugin} threw. */
export function problemOf(reason: unknown, { where, probeTimeoutMs }: ProbeOptions): string {
  if (reason instanceof Unready) return reason.message;
  const { kind, message } = explainWire(reason);
  switch (kind) {
    case "deadline":
      return `No answer from ${where} within ${probeTimeoutMs} ms`;
    case "connection":
      return `No connection to ${where}: ${message}`;
    case "protocol":
      return `What answers at ${where} does not speak gRPC: ${message}`;
    default:
      return `The plugin at ${where} answered with an error: ${message}`;
  }
}

async function describe(
  connection: ExternalConnection,
  { protocol, where, probeTimeoutMs, signal }: ProbeOptions & { readonly signal: AbortSignal },
): Promise<ProbedPlugin> {
  const original: ProbedPlugin = { manifest: ORIGINAL_MANIFEST, protocol: "original" };
  if (protocol === "original") return original;
  try {
    return { manifest: checkExternalManifest(await connection.describe(probeTimeoutMs, signal)), protocol: "velas" };
  } catch (reason) {
    if (reason instanceof NodeError) throw new Unready(reason.message);
    if (explainWire(reason).kind !== "unserved") throw reason;
    if (protocol === "auto") return original;
    throw new Unready(
      `The server at ${where} does not serve velas.sphere.v1.PluginService; if it is a plugin of the original node, set its protocol to "original"`,
    );
  }
}

async function checkHealth(
  connection: ExternalConnection,
  { where, probeTimeoutMs, signal }: ProbeOptions & { readonly signal: AbortSignal },
): Promise<void> {
  try {
    if (await connection.isServing(probeTimeoutMs, signal)) return;
  } catch (reason) {
    // Health is optional: a gRPC server that answers that it does not know the question is alive.
    if (explainWire(reason).kind === "unserved") return;
    throw reason;
  }
  throw new Unready(`The plugin at ${where} reports that it is not serving`);
}
