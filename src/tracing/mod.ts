/**
 * OpenTelemetry traces: spans are made here (`otlp-tracer.ts`), kept in a bounded buffer, and posted in batches as OTLP over HTTP in JSON
 * (https://opentelemetry.io/docs/specs/otlp/). The rest of the node knows only `Tracer` of `core/`.
 */
export * from "./otlp-tracer.ts";
