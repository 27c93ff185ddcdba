import { invalidModule } from "../wasm-binary.ts";
import type { WasmReader } from "../wasm-binary.ts";
import { readValueType } from "../wasm-module.ts";
import { IMMEDIATE } from "./opcodes.ts";

/** Passes over what stands behind an opcode. */
export function skipImmediate(reader: WasmReader, kind: number): void {
  switch (kind) {
    case IMMEDIATE.index:
      reader.u32();
      return;
    case IMMEDIATE.twoIndices:
      reader.u32();
      reader.u32();
      return;
    case IMMEDIATE.memory:
    case IMMEDIATE.memoryLane:
      if (reader.u32() >= 0x40) throw invalidModule("The module has several memories, and this node runs one");
      reader.u32();
      if (kind === IMMEDIATE.memoryLane) reader.byte();
      return;
    case IMMEDIATE.signed:
      return reader.skipSigned();
    case IMMEDIATE.bytes4:
      return void reader.slice(4);
    case IMMEDIATE.bytes8:
      return void reader.slice(8);
    case IMMEDIATE.bytes16:
      return void reader.slice(16);
    case IMMEDIATE.lane:
      return void reader.byte();
    case IMMEDIATE.types:
      for (let rest = reader.u32(); rest > 0; rest--) readValueType(reader);
  }
}
