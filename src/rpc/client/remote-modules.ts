import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type CallContext,
  type ModuleInfo,
  type ModuleOrder,
  type ModulePresence,
  type ModuleService,
  NodeError,
} from "../../core/mod.ts";
import {
  HasModuleRequestSchema,
  TaskService,
  type UploadModuleRequestSchema,
} from "../../gen/velas/sphere/v1/task_pb.ts";
import { moduleFromProto } from "../module-convert.ts";
import { explain } from "./failures.ts";
import { isUnknownService, type Peer } from "./peer.ts";
import type { SignedCalls } from "./signed-calls.ts";
import { decodeAnswer, pathOf } from "./transport.ts";
import { WatchedInput } from "./watched-input.ts";

const { method } = TaskService;
const HAS_PATH = pathOf(method.hasModule);

/** A module is sent in messages of at most this size. */
const CHUNK_BYTES = 256 << 10;

/** The modules that another node takes. */
export class RemoteModules implements ModuleService {
  readonly #peer: Peer;
  readonly #calls: SignedCalls | undefined;

  /** Without signed calls nothing can be brought there. */
  constructor(peer: Peer, calls: SignedCalls | undefined) {
    this.#peer = peer;
    this.#calls = calls;
  }

  async has(sha256: string, ctx: CallContext): Promise<ModulePresence> {
    const peer = this.#peer;
    const calls = this.#signed;
    const message = toBinary(HasModuleRequestSchema, create(HasModuleRequestSchema, { sha256 }));
    const rules = { timeoutMs: peer.options.requestTimeoutMs, repeatable: true, signed: true };
    try {
      const answer = await peer.call(ctx, rules, (attempt) => calls.unary({ ...attempt, path: HAS_PATH, message }));
      const { module, maxBytes } = decodeAnswer(method.hasModule, answer, peer.target);
      return { ...module && { module: moduleFromProto(module) }, maxBytes: Number(maxBytes) };
    } catch (reason) {
      throw this.#explain(reason);
    }
  }

  async upload(source: AsyncIterable<Uint8Array>, order: ModuleOrder, ctx: CallContext): Promise<ModuleInfo> {
    const peer = this.#peer;
    const calls = this.#signed;
    const stop = new AbortController();
    const onAbort = () => stop.abort(ctx.signal.reason);
    if (ctx.signal.aborted) onAbort();
    else ctx.signal.addEventListener("abort", onAbort, { once: true });
    const input = new WatchedInput(requestsOf(source, order), stop);
    try {
      const timeoutMs = peer.timeLeft(ctx, peer.options.taskTimeoutMs);
      const call = { path: pathOf(method.uploadModule), signal: ctx.signal };
      const metadata = { ...peer.metadata(ctx, true), ...await calls.metadata(call) };
      const response = await peer.transport.stream(method.uploadModule, stop.signal, timeoutMs, metadata, input);
      for await (const { module } of response.message) {
        if (module?.sha256 === order.sha256) return moduleFromProto(module);
      }
      throw new NodeError("target_misbehaved", `${peer.target} did not say that it has the module`, {
        data: { target: peer.target },
      });
    } catch (reason) {
      if (input.failure !== undefined) throw input.failure.reason;
      throw this.#explain(reason);
    } finally {
      ctx.signal.removeEventListener("abort", onAbort);
      stop.abort();
    }
  }

  get #signed(): SignedCalls {
    if (this.#calls !== undefined) return this.#calls;
    throw new NodeError(
      "unauthenticated",
      `${this.#peer.target} takes modules of nodes with a key only, and this one has none`,
    );
  }

  #explain(reason: unknown): NodeError {
    const { target } = this.#peer;
    if (isUnknownService(reason)) {
      return new NodeError("unimplemented", `${target} knows no modules of requesters: use another provider`, {
        data: { target },
      });
    }
    const error = explain(reason, target);
    this.#calls?.note(error);
    return error;
  }
}

async function* requestsOf(
  source: AsyncIterable<Uint8Array>,
  { sha256, sizeBytes }: ModuleOrder,
): AsyncGenerator<MessageInitShape<typeof UploadModuleRequestSchema>> {
  yield { message: { case: "order", value: { sha256, sizeBytes: BigInt(sizeBytes) } } };
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      yield { message: { case: "chunk", value: bytes.subarray(at, at + CHUNK_BYTES) as Uint8Array<ArrayBuffer> } };
    }
  }
}
