import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";

/** Reads a file of vectors that test/vectors/codec/reference.py wrote. */
// deno-lint-ignore no-explicit-any -- what a JSON file holds is known to each test
export function readVectors(name: string): any {
  return JSON.parse(readFileSync(new URL(`../vectors/codec/${name}.json`, import.meta.url), "utf8"));
}

/** The test bytes of reference.py: SHA-256(label, number of the block) after one another. */
export function stream(label: string, length: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(length / 32) * 32);
  const number = Buffer.alloc(4);
  for (let block = 0; block * 32 < length; block++) {
    number.writeUInt32BE(block);
    bytes.set(createHash("sha256").update(label).update(number).digest(), block * 32);
  }
  return bytes.subarray(0, length);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
