import { KERNEL_BYTES } from "./kernel-bytes.ts";
import { outlineModule } from "./wasm-module.ts";

/** Where Extism's plugin development kits import from. */
export const EXTISM_ENV = "extism:host/env";
/** Where plugins import the functions that a host adds; ours begin with `velas_`. */
export const EXTISM_USER = "extism:host/user";

/** What plugins may import from the kernel: per module name, the functions with their signatures. */
export const KERNEL_API: ReadonlyMap<string, ReadonlyMap<string, string>> = readKernelApi();

function readKernelApi(): Map<string, Map<string, string>> {
  const api = new Map<string, Map<string, string>>([[EXTISM_ENV, new Map()], [EXTISM_USER, new Map()]]);
  for (const { name, kind, signature } of outlineModule(KERNEL_BYTES).exports) {
    if (kind !== "function" || name.includes(":")) continue;
    api.get(name.startsWith("velas_") ? EXTISM_USER : EXTISM_ENV)!.set(name, signature);
  }
  return api;
}
