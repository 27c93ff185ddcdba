import { z } from "zod";
import { NodeError } from "../../src/core/mod.ts";

const seconds = z.coerce.number().min(0).max(1_000_000);

/** What a task may say beside the media itself. All may also stand in a JSON input. */
const options = {
  /** Where to look, in seconds from the start. */
  at: seconds.optional(),
  /** How much to take, in seconds. */
  duration: seconds.positive().optional(),
  /** The width of a picture, in pixels; its height follows. */
  width: z.coerce.number().int().min(16).max(3840).optional(),
  /** The height of a video, in pixels; its width follows. */
  height: z.coerce.number().int().min(16).max(2160).optional(),
  /** Of video, in kbit/s. */
  rate: z.coerce.number().int().min(16).max(50_000).optional(),
};

const streamed = z.strictObject(options);

const stored = z.strictObject({
  ...options,
  /** The name of a file of the node. */
  file: z.string().min(1).max(4096),
  /** The heights of an HLS ladder, in pixels. */
  heights: z.array(z.number().int().min(16).max(2160)).min(1).max(8).optional(),
  /** Where the files of an HLS ladder go: a name that theirs begin with. */
  into: z.string().min(1).max(4000).optional(),
});

export type MediaOptions = z.infer<typeof streamed>;
export type StoredRequest = z.infer<typeof stored>;

/** Whether an input of this media type is a request in JSON that names a stored file, and not media. */
export function isStoredRequest(contentType: string): boolean {
  return /^application\/json\s*(?:;|$)/i.test(contentType);
}

/** Reads a request in JSON. Throws `invalid_argument` that names each wrong field. */
export function storedRequest(text: string): StoredRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NodeError("invalid_argument", 'The input is not JSON, such as {"file":"clip.mp4"}', { cause });
  }
  return checked(stored, value);
}

/** Reads the parameters of a media type: `video/mp4; at=3; width=320`. Throws `invalid_argument` that names each wrong one. */
export function optionsOf(contentType: string): MediaOptions {
  const [, ...parameters] = contentType.split(";");
  const pairs = parameters.map((parameter) => {
    const [name = "", value = ""] = parameter.split("=", 2);
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, "$1")] as const;
  });
  // What belongs to the media type itself is not ours.
  return checked(streamed, Object.fromEntries(pairs.filter(([name]) => name !== "codecs" && name !== "charset")));
}

function checked<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const what = result.error.issues.map(({ path, message }) => [path.join("."), message].filter(Boolean).join(": "));
  throw new NodeError("invalid_argument", `What the task asks for is wrong: ${what.join("; ")}`);
}
