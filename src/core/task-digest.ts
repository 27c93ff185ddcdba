import { Buffer } from "node:buffer";
import { createHash, hash } from "node:crypto";
import type { TaskSpec } from "./task.ts";

/** The SHA-256 of some bytes in lower-case hex. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex");
}

/**
 * The digest by which two tasks with the same id are the same task: SHA-256 over plugin, function, content type, limits as
 * asked, and the input's own SHA-256, each text with its length before it. The priority is left out, since it does not
 * change the result. Lower-case hex.
 */
export function taskDigest(spec: TaskSpec, inputSha256: string): string {
  const { timeoutMs = 0, memoryBytes = 0, outputBytes = 0, instructions = 0 } = spec.limits;
  const digest = createHash("sha256");
  digest.update("velas-sphere task v1\n");
  for (
    const part of [
      spec.plugin,
      spec.function,
      spec.contentType,
      String(timeoutMs),
      String(memoryBytes),
      String(outputBytes),
      inputSha256,
      // Last and only when given, so that what was digested before instructions were counted keeps its digest.
      ...(instructions > 0 ? [String(instructions)] : []),
    ]
  ) {
    digest.update(`${Buffer.byteLength(part)}:${part}`);
  }
  return digest.digest("hex");
}
