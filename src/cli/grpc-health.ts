import { connect } from "node:http2";
import { NodeError } from "../core/mod.ts";
import { parseAddress } from "../config/mod.ts";

const EMPTY_MESSAGE = new Uint8Array(5); // not compressed, 0 bytes long: HealthCheckRequest for the whole server
const SERVING = 1;
const DEFAULT_TIMEOUT_MS = 5000;

/**
 * Asks a gRPC server for its health (grpc.health.v1.Health/Check) in plaintext. Written by hand, since a whole client for two
 * frames would make the check that containers run every few seconds slow to start. Throws `invalid_argument` for an address that
 * is none, `target_unreachable` when nobody answers in time, `target_failed` when the server is not well.
 */
export async function checkGrpcHealth(
  address: string,
  { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<void> {
  if (parseAddress(address) === undefined) {
    throw new NodeError("invalid_argument", `"${address}" is not an address: it must be such as 127.0.0.1:8082`);
  }
  const session = connect(`http://${address}`);
  const timeout = AbortSignal.timeout(timeoutMs);
  const stop = (): void => session.destroy();
  timeout.addEventListener("abort", stop);
  signal?.addEventListener("abort", stop);
  try {
    const { status, message, body } = await new Promise<{ status: string; message: string; body: Buffer }>(
      (resolve, reject) => {
        session.on("error", reject);
        const stream = session.request({
          ":method": "POST",
          ":path": "/grpc.health.v1.Health/Check",
          "content-type": "application/grpc",
          te: "trailers",
        });
        let headers: Record<string, unknown> = {};
        const pieces: Uint8Array[] = [];
        stream.on("response", (found) => headers = found);
        stream.on("trailers", (found) => headers = { ...headers, ...found });
        stream.on("data", (piece: Uint8Array) => pieces.push(piece));
        stream.on("error", reject);
        stream.on("close", () => reject(new Error("the call was cut off")));
        stream.on("end", () => {
          if (headers[":status"] === undefined) return; // cut off: "close" tells
          resolve({
            status: String(headers["grpc-status"] ?? `HTTP ${String(headers[":status"])}`),
            message: decodeURIComponent(String(headers["grpc-message"] ?? "")),
            body: Buffer.concat(pieces),
          });
        });
        stream.end(EMPTY_MESSAGE);
      },
    );
    // HealthCheckResponse { ServingStatus status = 1 }: one field, so two bytes after the frame's head.
    if (status === "0" && body.length >= 7 && body[5] === 0x08 && body[6] === SERVING) return;
    throw new NodeError(
      "target_failed",
      `${address} is not serving (gRPC status ${status}${message === "" ? "" : `: ${message}`})`,
    );
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    // A stream that ended with its connection has the connection's error as its cause.
    const { code, message } = ((cause as Error).cause ?? cause) as { code?: string; message: string };
    if (signal?.aborted) throw new NodeError("canceled", "Canceled", { cause });
    const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : code ?? message;
    throw new NodeError(
      "target_unreachable",
      `No gRPC server answers at ${address} (${why}): start a node or plugin there, or name another address with --rpc`,
      { cause },
    );
  } finally {
    timeout.removeEventListener("abort", stop);
    signal?.removeEventListener("abort", stop);
    session.destroy();
  }
}
