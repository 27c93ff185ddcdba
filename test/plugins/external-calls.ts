import type { PluginCall, PluginEvent } from "../../src/core/mod.ts";
import { ANONYMOUS, silentLog } from "../../src/core/mod.ts";
import type { ExternalPlugin } from "../../src/plugins/external-plugin.ts";
import { connectExternalPlugin, type ExternalPluginOptions } from "../../src/plugins/external-plugin.ts";

export const bytes = (text: string) => new TextEncoder().encode(text);
export const text = (value: Uint8Array) => new TextDecoder().decode(value);

/** A call with the limits that tests mostly want. */
export function call(input: PluginCall["input"], options: Partial<PluginCall> = {}): PluginCall {
  return {
    plugin: "",
    function: "",
    input,
    contentType: "text/plain",
    limits: { timeoutMs: 10_000, memoryBytes: 1 << 20, outputBytes: 1 << 20 },
    requester: ANONYMOUS,
    signal: new AbortController().signal,
    ...options,
  };
}

/** Connects with short waits, and waits for the first attempt to end. */
export async function connect(address: string, options: Partial<ExternalPluginOptions> = {}): Promise<ExternalPlugin> {
  const plugin = connectExternalPlugin({
    name: "tested",
    address,
    protocol: "auto",
    log: silentLog,
    backoffMs: 5,
    maxBackoffMs: 20,
    ...options,
  });
  await plugin.settled();
  return plugin;
}

/** Resolves when the plugin's state is as wanted; looks often, since the runtime tells nobody of changes. */
export async function until(plugin: ExternalPlugin, ready: boolean): Promise<void> {
  while (plugin.info().ready !== ready) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Collects events. */
export function collector(): { readonly events: PluginEvent[]; readonly onEvent: (event: PluginEvent) => void } {
  const events: PluginEvent[] = [];
  return { events, onEvent: (event) => void events.push(event) };
}
