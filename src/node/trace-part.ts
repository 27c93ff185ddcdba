import type { Config } from "../config/mod.ts";
import {
  currentSpan,
  type Log,
  type Metrics,
  NodeError,
  type NodeId,
  type PluginCall,
  type Span,
  type Tracer,
  VERSION,
} from "../core/mod.ts";
import type { Plugins } from "../plugins/mod.ts";
import { OtlpTracer } from "../tracing/mod.ts";

/** Makes what exports traces; nothing when the configuration names no collector. */
export function makeTracer(
  { tracing, node }: Config,
  { nodeId, log, metrics }: { readonly nodeId: NodeId; readonly log: Log; readonly metrics: Metrics },
): OtlpTracer | undefined {
  if (tracing.otlpUrl === "") return undefined;
  const resource = {
    "service.name": "velas-sphere",
    "service.version": VERSION,
    "service.instance.id": nodeId,
    "velas.node.name": node.name,
  };
  const { otlpUrl: url, samplePercent, callsPerSecond } = tracing;
  return new OtlpTracer({ url, samplePercent, callsPerSecond, resource, log, metrics });
}

/** The plugins, with a span for each run of a call that is traced. */
export function tracedPlugins(
  plugins: Plugins,
  tracer: Tracer | undefined,
): Pick<Plugins, "resolve" | "execute" | "keep"> {
  if (tracer === undefined) return plugins;
  // The span goes with the call, not with an async context, which would cost each call more than the span does: few plugins call others.
  const execute = async (call: PluginCall, parent: Span) => {
    const span = tracer.begin("plugin.execute", {
      kind: "internal",
      parent,
    });
    const attributes = { "velas.plugin": call.plugin, "velas.function": call.function };
    try {
      const outcome = await plugins.execute(span === undefined ? call : { ...call, span });
      span?.end("ok", attributes);
      return outcome;
    } catch (error) {
      span?.end(error instanceof NodeError ? error.code : "internal", attributes);
      throw error;
    }
  };
  return {
    resolve: (plugin, fn, requester) => plugins.resolve(plugin, fn, requester),
    keep: (plugin) => plugins.keep(plugin),
    execute(call) {
      const parent = call.span ?? currentSpan();
      return parent === undefined ? plugins.execute(call) : execute(call, parent);
    },
  };
}
