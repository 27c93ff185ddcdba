import { z } from "@hono/zod-openapi";
import { FileName, PutQuery } from "./file-schemas.ts";
import { count, text, time } from "./schema-fields.ts";

export const UploadId = z.string().regex(/^[0-9a-f]{32}$/).openapi({
  description: "The id of an upload, 32 lower-case hex digits.",
  examples: ["6f1c3c5d9b2e47618c0d4e7fa1b2c3d4"],
});

const Source = z.string().max(256).openapi({
  description: "The client's own word for what it sends, by which it finds the upload in the list.",
  examples: ["48213-1764000000000"],
});

export const BeginQuery = PutQuery.omit({ resume: true, sizeBytes: true }).extend({
  name: FileName,
  source: Source.optional(),
});

export const Upload = z.object({
  id: UploadId,
  name: FileName,
  contentType: text("The file's media type.", "image/jpeg"),
  sizeBytes: count("Bytes that were announced.", 48_213).optional(),
  offset: count("Bytes that are here: where to go on.", 48_213),
  active: z.boolean().openapi({ description: "Whether a request sends just now.", examples: [false] }),
  state: z.enum(["receiving", "storing", "stored"]).openapi({
    description: "`storing` while the complete file is put, `stored` when it was.",
    examples: ["receiving"],
  }),
  source: Source.optional(),
  createdAt: time("When it began."),
  expiresAt: time("When it is forgotten, unless bytes come before."),
  fileId: z.string().optional().openapi({
    description: "The version that it became.",
    examples: ["0f8a3c5d9b2e47618c0d4e7fa1b2c3d4"],
  }),
}).openapi("Upload", { description: "An upload that can go on." });

export const UploadList = z.object({ uploads: z.array(Upload) }).openapi("UploadList");
