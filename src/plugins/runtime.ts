import type { PluginCall, PluginInfo, PluginOutcome } from "../core/mod.ts";

/**
 * One plugin outside the node, as the host reaches it beside the WASM plugins of its pool; `test/contract-suites/plugin-host.ts` holds
 * for both. The host lists plugins, picks one for a call and names the function.
 */
export interface PluginRuntime {
  /** The plugin as it is now. Cheap: it is asked on every call. `isDefault` is the host's to say and is ignored. */
  info(): PluginInfo;
  /**
   * Runs a function that {@link info} lists; `call.plugin` and `call.function` were resolved by the host and are ignored.
   * Throws a NodeError: `plugin_failed` for the plugin's own error, `plugin_trapped`, `plugin_unavailable`,
   * `input_too_large`, `output_too_large`, `memory_exceeded`, `deadline_exceeded` when `call.limits.timeoutMs` is over, `canceled` when
   * `call.signal` aborts.
   */
  execute(call: PluginCall, functionName: string): Promise<PluginOutcome>;
  /** Stops what runs and lets go of everything. */
  close(): Promise<void>;
}
