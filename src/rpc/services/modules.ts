import { type CallContext, type ModuleOrder, type ModuleService, NodeError, notSigned } from "../../core/mod.ts";
import { TaskService, type UploadModuleRequest } from "../../gen/velas/sphere/v1/task_pb.ts";
import { moduleToProto } from "../module-convert.ts";
import { bidiStream, type Route, unary } from "../route.ts";

/** The context of a call whose requester is proven. Throws `unauthenticated`. */
function proven(ctx: CallContext): CallContext {
  if (ctx.authenticated === true) return ctx;
  throw notSigned("whose quota a module takes must be proven by a signature (docs/protocol.md)");
}

/** The methods of `velas.sphere.v1.TaskService` that take modules of requesters. */
export function moduleRoutes(modules: ModuleService): Route[] {
  const { method } = TaskService;
  return [
    unary(method.hasModule, async ({ sha256 }, ctx) => {
      const { module, maxBytes } = await modules.has(sha256, proven(ctx));
      return { ...module && { module: moduleToProto(module) }, maxBytes: BigInt(maxBytes) };
    }),
    bidiStream(method.uploadModule, (requests, ctx) => upload(modules, requests, ctx), { endsOnDrain: true }),
  ];
}

async function* upload(modules: ModuleService, requests: AsyncIterable<UploadModuleRequest>, ctx: CallContext) {
  const source = requests[Symbol.asyncIterator]();
  try {
    const caller = proven(ctx);
    const order = orderOf(await source.next());
    yield { module: moduleToProto(await modules.upload(chunks(source), order, caller)) };
  } finally {
    // Whatever ended the upload, the rest is not wanted. Not awaited: it may be waiting for the caller.
    source.return?.().catch(() => {});
  }
}

function orderOf(first: IteratorResult<UploadModuleRequest>): ModuleOrder {
  if (first.done === true || first.value.message.case !== "order") {
    throw new NodeError(
      "invalid_argument",
      "The first message of UploadModule must be the order; send the module after it",
    );
  }
  const { sha256, sizeBytes } = first.value.message.value;
  return { sha256, sizeBytes: Number(sizeBytes) };
}

async function* chunks(source: AsyncIterator<UploadModuleRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    const { message } = next.value;
    if (message.case !== "chunk") {
      throw new NodeError("invalid_argument", "Only the first message of UploadModule may be the order");
    }
    yield message.value;
  }
}
