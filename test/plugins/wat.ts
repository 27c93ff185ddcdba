import loadWabt from "wabt";

const wabt = loadWabt();
const FEATURES = { exceptions: true, tail_call: true, multi_memory: true, memory64: true, threads: true };

/** Assembles WebAssembly text; not validated, so that tests can make invalid modules. */
export async function wat(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const module = (await wabt).parseWat("test.wat", text, FEATURES);
  try {
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}
