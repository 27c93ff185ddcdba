/**
 * Plugins, in process and outside it.
 *
 * `openPluginHost` opens a folder of WASM modules (`registry.ts`) and connects to the gRPC plugins of the configuration
 * (`external-plugin.ts`). A module is prepared once, when it is found (`prepare-module.ts`): validated, its imports checked, its memory
 * made an import so that each call's limit can bound it. Calls go to a pool of worker threads (`pool.ts`) through shared memory
 * (`call-slots.ts`); each worker (`worker.ts`) keeps instances warm (`warm-instance.ts`), made by the Extism SDK around our own
 * host side of its ABI (`kernel.wat`, `kernel.ts`, `wasi.ts`). A plugin has no filesystem, network, clock or environment.
 *
 * Modules that requesters bring lie in a folder of their own (`module-cache.ts`), from which those not used for longest make room; they run as the
 * others do, without any permission.
 *
 * A call that runs too long is stopped by giving up its thread (Node) or by V8's limit for scripts (Deno, `time-guard.ts`);
 * what waited behind it runs elsewhere, once.
 */
export { openPluginHost } from "./host.ts";
export type { PluginHostOptions, Plugins } from "./host.ts";
export type { ModuleCache } from "./module-cache.ts";
export { pluginFiles } from "./plugin-files.ts";
export type { PluginFiles } from "./plugin-files.ts";
export { packPlugin } from "./pack-plugin.ts";
export type { PluginRuntime } from "./runtime.ts";
export { COST_TABLE_VERSION } from "./wasm-meter/costs.ts";
