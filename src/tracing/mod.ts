/**
 * OpenTelemetry traces: spans are made here (`otlp-tracer.ts`), written as protobuf into a bounded number of pages as they end, and each
 * page is posted as OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/). The rest of the node knows only `Tracer` of `core/`.
 */
export * from "./otlp-tracer.ts";
