import { type DescFile, type DescMessage, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { ServerReflection as ReflectionV1 } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import type { ServerReflectionRequest as RequestV1 } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { ServerReflectionRequest as RequestV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { file_velas_sphere_v1_error } from "../../gen/velas/sphere/v1/error_pb.ts";
import { bidiStream, type Route } from "../route.ts";

/** Files that no service names but clients look for: the type of the error details. */
const EXTRA_FILES: readonly DescFile[] = [file_velas_sphere_v1_error];

/** What reflection answers from: every symbol and extension of the files behind a set of services. */
export class DescriptorIndex {
  readonly files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions = new Map<string, Map<number, DescFile>>();
  readonly #bytes = new Map<DescFile, Uint8Array<ArrayBuffer>>();

  constructor(services: Iterable<DescService>) {
    for (const service of services) this.#addFile(service.file);
    for (const file of EXTRA_FILES) this.#addFile(file);
  }

  #addFile(file: DescFile): void {
    const name = fileName(file);
    if (this.files.has(name)) return;
    this.files.set(name, file);
    for (const dependency of file.dependencies) this.#addFile(dependency);
    for (const service of file.services) {
      this.#symbols.set(service.typeName, file);
      for (const method of service.methods) this.#symbols.set(`${service.typeName}.${method.name}`, file);
    }
    for (const message of file.messages) this.#addMessage(message, file);
    for (const each of file.enums) this.#addEnum(each, file);
    for (const extension of file.extensions) this.#addExtension(extension, file);
  }

  #addMessage(message: DescMessage, file: DescFile): void {
    this.#symbols.set(message.typeName, file);
    for (const field of message.fields) this.#symbols.set(`${message.typeName}.${field.name}`, file);
    for (const oneof of message.oneofs) this.#symbols.set(`${message.typeName}.${oneof.name}`, file);
    for (const nested of message.nestedMessages) this.#addMessage(nested, file);
    for (const each of message.nestedEnums) this.#addEnum(each, file);
    for (const extension of message.nestedExtensions) this.#addExtension(extension, file);
  }

  #addEnum(each: DescFile["enums"][number], file: DescFile): void {
    this.#symbols.set(each.typeName, file);
    // Values of an enum are siblings of the enum, as in C.
    const scope = each.typeName.slice(0, each.typeName.lastIndexOf(".") + 1);
    for (const value of each.values) this.#symbols.set(scope + value.name, file);
  }

  #addExtension(extension: DescFile["extensions"][number], file: DescFile): void {
    this.#symbols.set(extension.typeName, file);
    const numbers = this.#extensions.get(extension.extendee.typeName) ?? new Map<number, DescFile>();
    this.#extensions.set(extension.extendee.typeName, numbers.set(extension.number, file));
  }

  fileOfSymbol(symbol: string): DescFile | undefined {
    return this.#symbols.get(symbol);
  }

  fileOfExtension(type: string, number: number): DescFile | undefined {
    return this.#extensions.get(type)?.get(number);
  }

  /** The numbers of a type's extensions; undefined when the type is not known. */
  extensionNumbers(type: string): number[] | undefined {
    if (!this.#symbols.has(type)) return undefined;
    return [...this.#extensions.get(type)?.keys() ?? []].sort((a, b) => a - b);
  }

  /** The serialized descriptor of a file. */
  serialize(file: DescFile): Uint8Array<ArrayBuffer> {
    let bytes = this.#bytes.get(file);
    if (bytes === undefined) this.#bytes.set(file, bytes = toBinary(FileDescriptorProtoSchema, file.proto));
    return bytes;
  }
}

/** DescFile leaves out the suffix that file names have on the wire. */
const fileName = (file: DescFile): string => `${file.name}.proto`;

/** gRPC server reflection, versions v1 and v1alpha, which differ in their package only. */
export function reflectionRoutes(services: () => readonly DescService[]): Route[] {
  let built: { readonly index: DescriptorIndex; readonly names: readonly string[] } | undefined;
  const catalogue = () =>
    built ??= { index: new DescriptorIndex(services()), names: services().map(({ typeName }) => typeName).sort() };

  async function* answer<R extends RequestV1 | RequestV1Alpha>(requests: AsyncIterable<R>) {
    const { index, names } = catalogue();
    const sent = new Set<DescFile>();
    for await (const request of requests) {
      yield {
        validHost: request.host,
        originalRequest: request,
        messageResponse: respond(request, index, names, sent),
      };
    }
  }

  return [
    bidiStream(ReflectionV1.method.serverReflectionInfo, (requests) => answer<RequestV1>(requests), {
      endsOnDrain: true,
    }),
    bidiStream(ReflectionV1Alpha.method.serverReflectionInfo, (requests) => answer<RequestV1Alpha>(requests), {
      endsOnDrain: true,
    }),
  ];
}

function respond(
  request: RequestV1 | RequestV1Alpha,
  index: DescriptorIndex,
  names: readonly string[],
  sent: Set<DescFile>,
) {
  const { messageRequest: query } = request;
  switch (query.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: names.map((name) => ({ name })) } } as const;
    case "fileByFilename":
      return files(index.files.get(query.value), `file ${query.value}`, index, sent);
    case "fileContainingSymbol":
      return files(index.fileOfSymbol(query.value), `symbol ${query.value}`, index, sent);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = query.value;
      const file = index.fileOfExtension(containingType, extensionNumber);
      return files(file, `extension ${extensionNumber} of ${containingType}`, index, sent);
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = index.extensionNumbers(query.value);
      if (extensionNumber === undefined) return failure(Code.NotFound, `This server has no type ${query.value}`);
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: query.value, extensionNumber },
      } as const;
    }
    default:
      return failure(Code.InvalidArgument, "The reflection request asks nothing: set one field of message_request");
  }
}

/** The file with those it needs, without what this stream already sent. */
function files(file: DescFile | undefined, what: string, index: DescriptorIndex, sent: Set<DescFile>) {
  if (file === undefined) return failure(Code.NotFound, `This server has no ${what}`);
  const fileDescriptorProto = [index.serialize(file)];
  sent.add(file);
  const visit = (dependencies: readonly DescFile[]) => {
    for (const dependency of dependencies) {
      if (sent.has(dependency)) continue;
      sent.add(dependency);
      fileDescriptorProto.push(index.serialize(dependency));
      visit(dependency.dependencies);
    }
  };
  visit(file.dependencies);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } } as const;
}

function failure(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse", value: { errorCode, errorMessage } } as const;
}
