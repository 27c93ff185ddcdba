/** A server of node:net, node:http or their kin, as far as it matters here. */
export interface ClosableServer {
  close(callback: () => void): unknown;
  getConnections(callback: (error: Error | null, count: number) => void): unknown;
}

const LOOK_MS = 50;

/**
 * Stops a server from listening, and resolves when its last connection has ended. Looks at the connections besides waiting for the event:
 * Deno 2.8.3 now and then never tells of a server that has closed.
 */
export function closeServer(server: ClosableServer): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearInterval(timer);
      resolve();
    };
    const timer = setInterval(
      () => server.getConnections((error, count) => error !== null || count === 0 ? done() : undefined),
      LOOK_MS,
    );
    server.close(done);
  });
}
