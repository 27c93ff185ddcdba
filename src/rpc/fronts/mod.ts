/**
 * Fronts: threads in front of the main one, for nodes with more cores than its one thread can use. They have the connections and speak HTTP/2;
 * plain unary gRPC goes to the main thread as records, those of one turn of the event loop in one message (`batch.ts`), where it takes the same way as
 * a call of the main thread's own fast path (`fast-call.ts`). Everything else, streams, Connect, gRPC-Web and HTTP/1.1, is passed on over a Unix socket
 * (`forward.ts`, `door.ts`) to the listener that the main thread has in any case.
 */
export { Fronts, type FrontsOptions } from "./fronts.ts";
