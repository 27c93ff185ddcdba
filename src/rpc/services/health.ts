import { type CallContext, NodeError } from "../../core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { type Route, serverStream, unary } from "../route.ts";

/** Whether a server takes work now, and news of it. */
export interface HealthSource {
  readonly ready: boolean;
  /** Calls the listener after each change; the returned function stops that. */
  onChange(listener: () => void): () => void;
}

/** A {@link HealthSource} that somebody sets. */
export class HealthState implements HealthSource {
  #ready: boolean;
  readonly #listeners = new Set<() => void>();

  constructor(ready = true) {
    this.#ready = ready;
  }

  get ready(): boolean {
    return this.#ready;
  }

  set(ready: boolean): void {
    if (this.#ready === ready) return;
    this.#ready = ready;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** `grpc.health.v1.Health`. All services of a server are healthy or not together; an empty name means the server. */
export function healthRoutes(source: HealthSource, services: () => readonly string[]): Route[] {
  const known = (service: string) => service === "" || services().includes(service);
  const status = () => source.ready ? Status.SERVING : Status.NOT_SERVING;

  async function* watch({ service }: { service: string }, ctx: CallContext) {
    let wake = () => {};
    const stop = source.onChange(() => wake());
    const onAbort = () => wake();
    ctx.signal.addEventListener("abort", onAbort, { once: true });
    try {
      let told: Status | undefined;
      while (!ctx.signal.aborted) {
        const now = known(service) ? status() : Status.SERVICE_UNKNOWN;
        if (now === told) {
          const changed = new Promise<void>((resolve) => wake = resolve);
          await changed;
          continue;
        }
        told = now;
        yield { status: now };
      }
      throw ctx.signal.reason;
    } finally {
      stop();
      ctx.signal.removeEventListener("abort", onAbort);
    }
  }

  return [
    unary(Health.method.check, ({ service }) => {
      if (!known(service)) {
        throw new NodeError("not_found", `No service ${service} here: reflection lists those there are`);
      }
      return Promise.resolve({ status: status() });
    }),
    serverStream(Health.method.watch, watch, { endsOnDrain: true }),
  ];
}
