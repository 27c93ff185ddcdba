/**
 * What a plugin's work counts as, in instructions. The table has a version, which a quote names: who checks a meter must count with
 * the same table. Nothing here may change without a new version (test/vectors/meter.json pins it).
 */
export const COST_TABLE_VERSION = 1;

/** An instruction that is not named below costs one. Those that only shape the code (`block`, `loop`, `else`, `end`, `nop`) are free. */
export const INSTRUCTION_COST = 1;

/** Instructions that take an engine several times as long as an addition, by opcode. */
export const SLOW_INSTRUCTIONS: ReadonlyMap<number, number> = new Map([
  ...range(0x6d, 0x70, 8), // i32.div_s, div_u, rem_s, rem_u
  ...range(0x7f, 0x82, 8), // i64.div_s, div_u, rem_s, rem_u
  [0x91, 4], // f32.sqrt
  [0x95, 4], // f32.div
  [0x9f, 4], // f64.sqrt
  [0xa3, 4], // f64.div
  [0x11, 4], // call_indirect
  [0x13, 4], // return_call_indirect
]);

/** `memory.grow`, beside what each page costs: the system has to find, clear and map the memory. */
export const MEMORY_GROW_COST = 100_000;
export const PAGE_COST = 1_000;

/** `memory.copy`, `memory.fill` and `memory.init` cost one, and one for every 8 bytes begun. */
export const BULK_BYTES_SHIFT = 3;
/** `table.copy`, `table.fill`, `table.init` and `table.grow` cost one, and one for each element. */
export const TABLE_ELEMENT_SHIFT = 0;

/** What calling a function of the host costs. */
export interface HostCost {
  readonly cost: number;
  /** The last argument is a number of bytes of which every 8 cost one more. */
  readonly chargesLength?: "i32" | "i64";
  /**
   * Whether the host charges more while it runs, by what it finds to do. Without it the host does not look at the fuel, and the plugin
   * need not write it back for the call.
   */
  readonly hostCharges: boolean;
}

/** The functions of the kernel that only move bytes between the plugin's memory and the host's buffers. */
const QUICK: HostCost = { cost: 10, hostCharges: false };
/** Anything else enters JavaScript. */
const SLOW: HostCost = { cost: 200, hostCharges: true };

const QUICK_FUNCTIONS: ReadonlySet<string> = new Set([
  "free",
  "length",
  "length_unsafe",
  "load_u8",
  "load_u64",
  "store_u8",
  "store_u64",
  "input_offset",
  "input_length",
  "input_load_u8",
  "input_load_u64",
  "output_set",
  "error_set",
  "error_get",
  "config_get",
  "get_log_level",
  "http_status_code",
]);

/** The cost of calling an imported function, by the name under which plugins import it. */
export function hostCost(name: string): HostCost {
  if (QUICK_FUNCTIONS.has(name)) return QUICK;
  // It clears what it gives out.
  if (name === "alloc") return { cost: 30, chargesLength: "i64", hostCharges: false };
  return SLOW;
}

function range(first: number, last: number, cost: number): [number, number][] {
  return Array.from({ length: last - first + 1 }, (_, i) => [first + i, cost]);
}
