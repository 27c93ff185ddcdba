import net from "node:net";
import process from "node:process";
import { closeServer, isDeno, type Log, NodeError } from "../../core/mod.ts";
import type { ConnectionCount } from "../connection-count.ts";
import type { FastCallOptions } from "../fast-call.ts";
import { greetingMs, type ListenerLimits, listenError } from "../listener.ts";
import type { UnaryRoute } from "../route.ts";
import { Door } from "./door.ts";
import { FrontLink } from "./front-link.ts";
import type { Address, TlsKeys } from "./protocol.ts";

/** The shortest time between a crash and the next start in its place, in milliseconds. */
const RESTART_MS = 200;

export interface FrontsOptions extends FastCallOptions {
  readonly count: number;
  readonly limits: ListenerLimits & { readonly maxConnections: number };
  readonly routes: Iterable<UnaryRoute>;
  readonly tls: TlsKeys | undefined;
  readonly log: Log;
  readonly connections: ConnectionCount;
  /** The memory of the count, where the place of the first front is 1. */
  readonly connectionMemory: SharedArrayBuffer;
  /** Told when the number of connections changes. */
  readonly onConnections: () => void;
  /** Serves a connection with what fronts do not serve themselves. Its address is the caller's. */
  readonly adopt: (socket: net.Socket) => void;
}

/**
 * The fronts of the RPC ports: threads that take HTTP/2, nearly half of what a small call costs, away from the main thread. All listen on the same
 * ports, and the system gives each connection to one. A thread that crashes takes its connections with it and is replaced.
 */
export class Fronts {
  readonly #options: FrontsOptions;
  readonly #routes: ReadonlyMap<string, UnaryRoute>;
  readonly #door: Door;
  readonly #links: (FrontLink | undefined)[];
  readonly #addresses: Address[] = [];
  #tls: TlsKeys | undefined;
  #started: Promise<void> | undefined;
  #closing = false;

  /** Throws `runtime_unsupported` on Deno, and on other systems than Linux. */
  constructor(options: FrontsOptions) {
    if (isDeno || process.platform !== "linux") {
      throw new NodeError(
        "runtime_unsupported",
        `${isDeno ? "Deno" : process.platform} has no front threads: set rpc.frontThreads to 0, or use Node on Linux`,
        { data: { runtime: isDeno ? "deno" : "node", platform: process.platform } },
      );
    }
    this.#options = options;
    this.#tls = options.tls;
    this.#routes = new Map([...options.routes].map((route) => [route.path, route]));
    this.#links = Array.from({ length: options.count });
    this.#door = new Door({ greetingMs: greetingMs(options.limits), onConnection: options.adopt });
  }

  /** Opens a port; starts the fronts the first time. Throws `address_in_use`, or `invalid_argument` for an address that this machine does not have. */
  async listen(wanted: Address): Promise<Address> {
    const address = await probe(wanted);
    await (this.#started ??= this.#start());
    await Promise.all(this.#links.map((link) => link?.listen(address)));
    this.#addresses.push(address);
    return address;
  }

  /** Serves another certificate to connections from now on. */
  setTls(tls: TlsKeys): void {
    this.#tls = tls;
    for (const link of this.#links) link?.setTls(tls);
  }

  /** Closes the ports and asks callers to leave. Resolves when what still came has been handed over. */
  async drain(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#links.map((link) => link?.drain()));
  }

  /** Ends all connections and threads. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#links.map((link) => link?.close()));
    await this.#door.close();
  }

  async #start(): Promise<void> {
    await this.#door.open();
    for (let i = 0; i < this.#links.length; i++) this.#links[i] = this.#link(i);
  }

  #link(index: number): FrontLink {
    const { limits, connections, log, count } = this.#options;
    const { maxConnections, ...ofListener } = limits;
    const place = index + 1;
    return new FrontLink({
      ...this.#options,
      routes: this.#routes,
      setup: {
        limits: ofListener,
        maxConnections,
        connections: this.#options.connectionMemory,
        place,
        paths: [...this.#routes.keys()],
        tls: this.#tls,
        sharesPort: count > 1,
        door: this.#door.key,
      },
      onCrash: (error) => {
        this.#links[index] = undefined;
        connections.clear(place);
        if (this.#closing) return;
        log.error("A front of the RPC ports has crashed, and its connections with it; another takes its place", {
          error,
        });
        setTimeout(() => this.#replace(index), RESTART_MS).unref();
      },
    });
  }

  #replace(index: number): void {
    if (this.#closing) return;
    const link = this.#links[index] = this.#link(index);
    for (const address of this.#addresses) {
      // A crash while it starts is told by onCrash.
      link.listen(address).catch((error) => {
        this.#options.log.error("A new front of the RPC ports cannot listen", { ...address, error });
      });
    }
  }
}

/** Where to listen, with the port that the system chose; throws when somebody has it, of which ports that are shared do not tell. */
async function probe({ host, port }: Address): Promise<Address> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(listenError({ host, port }, cause)));
    server.listen({ host, port }, resolve);
  });
  const address = server.address() as net.AddressInfo;
  await closeServer(server);
  return { host: address.address, port: address.port };
}
