// A thread of an engine that does not know relaxed SIMD: it says what parity it makes, and what comes back of a shard that is lost.
import { parentPort } from "node:worker_threads";
import { GF256_RELAXED } from "../../src/codec/kernel-bytes.ts";
import { pseudoRandom } from "./memory-shards.ts";

const relaxed = Buffer.from(GF256_RELAXED, "base64");
const isRelaxed = (bytes: BufferSource) => relaxed.equals(Buffer.from(bytes as Uint8Array));
const { validate, Module } = WebAssembly;
WebAssembly.validate = (bytes, options) => !isRelaxed(bytes) && validate(bytes, options);
WebAssembly.Module = class extends Module {
  constructor(bytes: BufferSource) {
    if (isRelaxed(bytes)) throw new WebAssembly.CompileError("invalid numeric opcode 0xfd100");
    super(bytes);
  }
};

const { ErasureCoder } = await import("../../src/codec/mod.ts");
const coder = new ErasureCoder({ dataShards: 3, parityShards: 2 });
const data = [1, 2, 3].map((seed) => pseudoRandom(1000, seed));
const parity = [0, 1].map(() => new Uint8Array(1000));
coder.encode(data, parity);
const [rebuilt] = coder.rebuild([undefined, data[1], undefined, ...parity], [0]);
parentPort!.postMessage({ parity, rebuilt });
