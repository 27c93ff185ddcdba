import { randomBytes } from "node:crypto";
import type { ByteSpan, CallContext, OpenedFile } from "../core/mod.ts";
import { isDeno, NodeError, release } from "../core/mod.ts";
import { reported } from "./boundary.ts";
import type { RestContext } from "./context.ts";
import { contentHeaders, validatorsOf } from "./file-headers.ts";
import { conditionStatus, contentRange, MAX_RANGES, parseRange, rangeCounts } from "./http-range.ts";
import type { RestAppOptions } from "./options.ts";
import { withStatus } from "./problem.ts";
import { alreadySent, writePiece } from "./stream.ts";

export interface SendFileOptions extends Pick<RestAppOptions, "limits" | "log"> {
  readonly ctx: CallContext;
  /** Have a browser save it. */
  readonly download: boolean;
  /** Whether the URL names this very version for good. */
  readonly immutable: boolean;
}

/** What stands between the parts of a `multipart/byteranges` (RFC 9110 §14.6). */
interface Part {
  readonly head: string;
  readonly span: ByteSpan;
}

/**
 * Answers a GET or HEAD of a file: conditions first, then whole, one range, or several as `multipart/byteranges`. The bytes go out as fast as
 * the client takes them. A failure before the first byte is thrown; after it only cutting the connection can tell that the content is not whole.
 */
export async function sendFile(c: RestContext, file: OpenedFile, options: SendFileOptions): Promise<Response> {
  const { incoming, outgoing } = c.env;
  const { record } = file;
  const { sizeBytes } = record;
  const headers = contentHeaders(record, options);
  const validators = validatorsOf(record);

  const condition = conditionStatus(incoming.headers, validators);
  if (condition === 304) {
    const kept = ["ETag", "Last-Modified", "Cache-Control"].map((name) => [name, headers[name]!]);
    return new Response(null, { status: 304, headers: Object.fromEntries(kept) });
  }
  if (condition === 412) {
    throw withStatus(
      new NodeError("failed_precondition", `The file is not the one of If-Match: its ETag is ${validators.etag}`),
      412,
    );
  }

  // A Range on HEAD has no meaning (RFC 9110 §14.2), but download programs ask so whether ranges work.
  const wanted = incoming.headers.range !== undefined && rangeCounts(incoming.headers, validators)
    ? parseRange(incoming.headers.range, sizeBytes)
    : { kind: "whole" as const };
  if (wanted.kind === "unsatisfiable" || wanted.kind === "too-many") {
    outgoing.setHeader("Content-Range", contentRange(undefined, sizeBytes));
    throw withStatus(
      new NodeError(
        "invalid_argument",
        wanted.kind === "too-many"
          ? `A request may ask for at most ${MAX_RANGES} ranges`
          : `The file has ${sizeBytes} bytes, and none of them is in the range that was asked for`,
        { data: { sizeBytes } },
      ),
      416,
    );
  }

  let status = 206;
  let parts: readonly Part[];
  let tail = "";
  if (wanted.kind === "whole") {
    status = 200;
    parts = [{ head: "", span: { start: 0, end: sizeBytes } }];
  } else if (wanted.spans.length === 1) {
    const span = wanted.spans[0]!;
    headers["Content-Range"] = contentRange(span, sizeBytes);
    parts = [{ head: "", span }];
  } else {
    const boundary = randomBytes(18).toString("hex");
    const type = headers["Content-Type"]!;
    parts = wanted.spans.map((span, i) => ({
      head: `${i === 0 ? "" : "\r\n"}--${boundary}\r\nContent-Type: ${type}\r\n` +
        `Content-Range: ${contentRange(span, sizeBytes)}\r\n\r\n`,
      span,
    }));
    tail = `\r\n--${boundary}--\r\n`;
    headers["Content-Type"] = `multipart/byteranges; boundary=${boundary}`;
  }
  const length = parts.reduce((sum, { head, span }) => sum + head.length + span.end - span.start, tail.length);
  headers["Content-Length"] = String(length);
  // Hono answers HEAD by itself, from the answer to GET.
  if (incoming.method === "HEAD") return new Response(null, { status, headers });

  const begin = () => outgoing.writeHead(status, headers);
  try {
    for (const { head, span } of parts) await sendPart(c, file, { head, span, begin, options });
    if (!outgoing.headersSent) begin();
    outgoing.end(tail);
  } catch (error) {
    if (!outgoing.headersSent) throw error;
    reported(error, { requestId: c.get("requestId"), method: "GET", path: c.req.path }, options.log);
    outgoing.destroy();
  }
  return alreadySent();
}

/** Sends one span; the first piece that is there opens the answer, so that what fails before it still has a status. */
async function sendPart(
  c: RestContext,
  file: OpenedFile,
  { head, span, begin, options }: Part & { readonly begin: () => void; readonly options: SendFileOptions },
): Promise<void> {
  const { outgoing } = c.env;
  const { idleTimeoutMs } = options.limits;
  let sent = 0;
  let headSent = head === "";
  if (span.start === span.end) return;
  for await (const piece of file.read(span, options.ctx.signal)) {
    if (piece.length === 0) continue;
    if (!outgoing.headersSent) begin();
    if (!headSent) await writePiece(outgoing, head, idleTimeoutMs);
    headSent = true;
    sent += piece.length;
    // On Deno a piece may be read after it was called sent.
    await writePiece(outgoing, piece, idleTimeoutMs, isDeno ? undefined : () => release(piece));
  }
  if (sent !== span.end - span.start) {
    throw new NodeError("internal", `The file gave ${sent} bytes of the ${span.end - span.start} that it has`);
  }
}
