import { joinSections, SECTION, WasmReader, WasmWriter } from "../../../src/plugins/wasm-binary.ts";
import { outlineModule } from "../../../src/plugins/wasm-module.ts";

/** A number that no shorter instruction holds. */
const FAR = 0x1234567;
const CONST = 0x41;
const GLOBAL_SET = 0x24;
const MUTABLE_ZERO = [0x7f, 0x01, CONST, 0x00, 0x0b];

/** Puts some stores at the beginning of every function, which moves the machine code behind them by some bytes, and changes nothing else. */
export function moveCode(bytes: Uint8Array, stores: number): Uint8Array<ArrayBuffer> {
  const { sections, imports } = outlineModule(bytes);
  const imported = imports.filter(({ kind }) => kind === "global").length;
  const own = new WasmReader(sections.find(({ id }) => id === SECTION.global)!.body).u32();
  const bodies = sections.map(({ id, body }) => {
    const reader = new WasmReader(body);
    if (id === SECTION.global) {
      const writer = new WasmWriter().u32(reader.u32() + stores).bytes(reader.slice(body.length - reader.offset));
      for (let i = 0; i < stores; i++) writer.bytes(MUTABLE_ZERO);
      return { id, body: writer.finish() };
    }
    if (id !== SECTION.code) return { id, body };
    const count = reader.u32();
    const writer = new WasmWriter().u32(count);
    for (let i = 0; i < count; i++) {
      const code = new WasmReader(reader.slice(reader.u32()));
      for (let groups = code.u32(); groups > 0; groups--) {
        code.u32();
        code.byte();
      }
      const body = new WasmWriter().bytes(code.bytes.subarray(0, code.offset));
      for (let j = 0; j < stores; j++) body.byte(CONST).signed(FAR + j).byte(GLOBAL_SET).u32(imported + own + j);
      const whole = body.bytes(code.bytes.subarray(code.offset)).finish();
      writer.u32(whole.length).bytes(whole);
    }
    return { id, body: writer.finish() };
  });
  return joinSections(bodies);
}
