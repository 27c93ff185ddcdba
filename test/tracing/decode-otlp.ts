import { Buffer } from "node:buffer";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A span as OTLP writes it in JSON, which is what the tests compare. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, string> }[];
  readonly status: { readonly code: number; readonly message?: string };
  /** `service.instance.id` of the resource. */
  readonly instance: string;
}

type Attribute = ReceivedSpan["attributes"][number];

/** Reads the fields of a message; each is read by the reader that its number has, and one that has none is a fault. */
function fields(reader: BinaryReader, readers: Readonly<Record<number, (type: WireType) => void>>, end = reader.len) {
  while (reader.pos < end) {
    const [number, type] = reader.tag();
    const read = readers[number];
    if (read === undefined) throw new Error(`There is no field ${number} here`);
    read(type);
  }
  if (reader.pos !== end) throw new Error("A message is longer than it says");
}

/** Reads the spans of an ExportTraceServiceRequest, as opentelemetry-proto 1.x has it. Throws at whatever it does not know. */
export function decodeOtlp(body: Uint8Array): { readonly spans: ReceivedSpan[]; readonly resource: Attribute[] } {
  const reader = new BinaryReader(body);
  const spans: ReceivedSpan[] = [];
  const resource: Attribute[] = [];
  const within = (readers: Readonly<Record<number, (type: WireType) => void>>) => (type: WireType) => {
    if (type !== WireType.LengthDelimited) throw new Error(`A message is not of wire type ${type}`);
    const length = reader.uint32();
    fields(reader, readers, reader.pos + length);
  };
  const attribute = (to: Attribute[]) => (type: WireType) => {
    let key = "";
    let value: Record<string, string> = {};
    within({
      1: () => key = reader.string(),
      2: within({
        1: () => value = { stringValue: reader.string() },
        3: () => value = { intValue: String(reader.int64()) },
        4: () => value = { doubleValue: String(reader.double()) },
      }),
    })(type);
    to.push({ key, value });
  };
  const hex = () => Buffer.from(reader.bytes()).toString("hex");
  const readSpan = (type: WireType) => {
    const span = { attributes: [] as Attribute[] } as unknown as Record<string, unknown>;
    const status: Record<string, unknown> = {};
    within({
      1: () => span["traceId"] = hex(),
      2: () => span["spanId"] = hex(),
      4: () => span["parentSpanId"] = hex(),
      5: () => span["name"] = reader.string(),
      6: () => span["kind"] = reader.int32(),
      7: () => span["startTimeUnixNano"] = String(reader.fixed64()),
      8: () => span["endTimeUnixNano"] = String(reader.fixed64()),
      9: attribute(span["attributes"] as Attribute[]),
      15: within({ 2: () => status["message"] = reader.string(), 3: () => status["code"] = reader.int32() }),
    })(type);
    const instance = resource.find(({ key }) => key === "service.instance.id")?.value["stringValue"];
    spans.push({ ...span, status, instance } as unknown as ReceivedSpan);
  };
  fields(reader, {
    1: within({
      1: within({ 1: attribute(resource) }),
      2: within({
        1: within({ 1: () => reader.string() }),
        2: readSpan,
      }),
    }),
  });
  return { spans, resource };
}
