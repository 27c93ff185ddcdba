import { z } from "@hono/zod-openapi";
import type { RestAppOptions } from "./options.ts";
import { binaryContent, failures, jsonBody } from "./openapi.ts";
import { addRoute, readJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { alreadySent, writePiece } from "./stream.ts";

const Order = z.object({
  passphrase: z.string().max(1024).openapi({
    description: "What the backup is encrypted with, 8 characters or more. It is not kept anywhere.",
    examples: ["correct horse battery staple"],
  }),
}).openapi("BackupOrder");

export interface BackupRouteOptions extends Pick<RestAppOptions, "limits"> {
  /** Makes a backup; throws before its first bytes for a passphrase that will not do. */
  readonly backup: (passphrase: string) => AsyncIterable<Uint8Array>;
}

/** A backup of what this node knows of its files, and of its keys, while it runs. */
export function addBackupRoute(app: RestApp, { limits, backup }: BackupRouteOptions): void {
  addRoute(app, {
    method: "post",
    path: "/v1/backup",
    tags: ["Operations"],
    operationId: "createBackup",
    scope: "admin",
    summary: "A backup",
    description:
      "Node key, master key, files with their manifests: all that it takes to read every file from another " +
      "machine, encrypted with a passphrase. `velas-sphere restore` makes a data directory of it.",
    request: { body: jsonBody(Order) },
    responses: {
      200: { description: "The backup.", content: binaryContent("application/octet-stream", "VSPHBAK") },
      ...failures("invalid_argument", "storage_failed"),
    },
  }, async (c) => {
    const { passphrase } = await readJson(c, Order, limits);
    const pieces = backup(passphrase)[Symbol.asyncIterator]();
    // What is wrong with the order shows at the first piece, before anything is sent.
    let next = await pieces.next();
    const { outgoing } = c.env;
    outgoing.writeHead(200, {
      "Content-Type": "application/octet-stream",
      "Content-Disposition": 'attachment; filename="velas-sphere.backup"',
      "Cache-Control": "no-store",
    });
    try {
      for (; next.done !== true; next = await pieces.next()) {
        await writePiece(outgoing, next.value, limits.idleTimeoutMs);
      }
      outgoing.end();
    } catch (error) {
      // Only cutting the connection tells the client that it is not whole; its end is checked when it is read.
      outgoing.destroy();
      if ((error as { code?: unknown }).code !== "canceled") throw error;
    } finally {
      await pieces.return?.();
    }
    return alreadySent();
  });
}
