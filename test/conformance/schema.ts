import { readFileSync } from "node:fs";
import process from "node:process";
import {
  createFileRegistry,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
  type Message,
} from "@bufbuild/protobuf";
import { type Any, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { ConnectError } from "@connectrpc/connect";

/*
 * The conformance suite's messages, read from its own descriptors at run time (run.sh builds them from the suite's module), so that
 * none of its files are kept here. The interfaces below name the fields that the two programs use.
 */

const PACKAGE = "connectrpc.conformance.v1";

export interface Header {
  readonly name: string;
  readonly value: readonly string[];
}

export interface ErrorShape {
  readonly code: number;
  readonly message?: string;
  readonly details: readonly Any[];
}

export interface UnaryDefinition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly response:
    | { readonly case: "responseData"; readonly value: Uint8Array }
    | { readonly case: "error"; readonly value: ErrorShape }
    | { readonly case: undefined };
}

export interface StreamDefinition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly responseData: readonly Uint8Array[];
  readonly error?: ErrorShape;
}

export type UnaryRequest = Message & { readonly responseDefinition?: UnaryDefinition };
export type StreamRequest = Message & { readonly responseDefinition?: StreamDefinition; readonly fullDuplex?: boolean };

export interface ClientRequest {
  readonly testName: string;
  readonly compression: number;
  readonly host: string;
  readonly port: number;
  readonly serverTlsCert: Uint8Array;
  readonly clientTlsCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
  readonly messageReceiveLimit: number;
  readonly service?: string;
  readonly method?: string;
  readonly streamType: number;
  readonly requestHeaders: readonly Header[];
  readonly requestMessages: readonly Any[];
  readonly timeoutMs?: number;
  readonly requestDelayMs: number;
  readonly cancel?: {
    readonly cancelTiming:
      | { readonly case: "beforeCloseSend" }
      | { readonly case: "afterCloseSendMs"; readonly value: number }
      | { readonly case: "afterNumResponses"; readonly value: number }
      | { readonly case: undefined };
  };
}

export interface ServerRequest {
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

/** Values of the suite's enums. */
export const GZIP = 2;
export const STREAM_TYPE = { unary: 1, client: 2, server: 3, halfDuplex: 4, fullDuplex: 5 } as const;

/** All types of the suite. */
export const registry: FileRegistry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(process.env["CONFORMANCE_DESCRIPTORS"]!)),
);

/** A message of the suite, by its name in the suite's package, or by its full name. */
export function messageDesc(name: string): DescMessage {
  return registry.getMessage(name.includes(".") ? name : `${PACKAGE}.${name}`)!;
}

export function serviceDesc(name = `${PACKAGE}.ConformanceService`): DescService {
  return registry.getService(name)!;
}

/** The message in an Any, by the suite's descriptors. */
export function unpack(any: Any): Message {
  return fromBinary(messageDesc(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1)), any.value);
}

/** Web headers as the suite has them; multiple values are one, joined. */
export function toHeaderList(headers: Headers): Header[] {
  return [...headers].map(([name, value]) => ({ name, value: [value] }));
}

/** An error that came over the wire as the suite has it. */
export function toErrorShape(error: ConnectError): ErrorShape {
  const details = error.details.map((detail) => {
    if ("desc" in detail) throw new Error("a detail that was read from the wire has no descriptor");
    return {
      $typeName: "google.protobuf.Any",
      typeUrl: `type.googleapis.com/${detail.type}`,
      value: detail.value,
    } as Any;
  });
  return { code: error.code, message: error.rawMessage, details };
}

/** Messages with their length in four bytes before each, as the suite writes them to a program's input. */
export async function* frames(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let buffer = Buffer.alloc(0);
  for await (const chunk of input) {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
      const end = 4 + buffer.readUInt32BE(0);
      yield buffer.subarray(4, end);
      buffer = buffer.subarray(end);
    }
  }
}

/** Writes a message to the suite. */
export function writeFrame(message: Uint8Array): void {
  const frame = Buffer.alloc(4 + message.length);
  frame.writeUInt32BE(message.length);
  frame.set(message, 4);
  process.stdout.write(frame);
}
