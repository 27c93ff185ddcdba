import { Buffer } from "node:buffer";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { NodeError } from "../../src/core/mod.ts";
import { type Guarded, openRelay } from "./relay.ts";

/**
 * The kinds of media that are read. Playlists are not among them (`hls`, `dash`, `concat`): they could name files of the plugin's machine, or
 * any address.
 */
const FORMATS = [
  "mov",
  "mp4",
  "m4a",
  "matroska",
  "webm",
  "avi",
  "mpegts",
  "mpeg",
  "flv",
  "ogg",
  "wav",
  "mp3",
  "flac",
  "aac",
  "h264",
  "hevc",
  "ivf",
  "yuv4mpegpipe",
  "gif",
  "jpeg_pipe",
  "png_pipe",
  "webp_pipe",
  "image2pipe",
];

/** Media that ffmpeg can read, until it is let go of. */
export interface Source extends AsyncDisposable {
  /** The arguments that name it, up to `-i` and its value. */
  readonly args: readonly string[];
  /** What standard input must give, when that is the source. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Whether it can be read more than once, and from the middle. */
  readonly seekable: boolean;
  /** What its programs need in their environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** How much of it was read so far, in bytes, where that is known. */
  readonly readBytes?: number;
}

/** How much of a stream is looked at to find out whether it can be read as a stream, in bytes. */
const PEEK_BYTES = 1 << 20;

/**
 * A source behind an HTTP address that serves ranges, read only where it must be. Neither the address nor the headers are among its arguments, which
 * every user of the machine can read; the ending of the file's name is, by which FFmpeg tells some formats.
 */
export async function remoteSource(file: Guarded, ending: string): Promise<Source> {
  const relay = await openRelay(file);
  return {
    args: [...guards("http,tcp"), "-i", `http://stored.invalid/input${encodeURIComponent(ending)}`],
    seekable: true,
    env: relay.env,
    get readBytes() {
      return relay.readBytes;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(relay[Symbol.dispose]()),
  };
}

/**
 * A source of the bytes of a task. They are read as they come when the container allows it and `whole` is not asked for; else they are put into a
 * temporary file of at most `maxBytes`, which goes when the source is let go of.
 */
export async function streamedSource(
  input: AsyncIterable<Uint8Array>,
  options: { readonly whole: boolean; readonly maxBytes: number },
): Promise<Source> {
  const pieces = input[Symbol.asyncIterator]();
  const head = await peek(pieces);
  if (head.length === 0) {
    throw new NodeError("invalid_argument", "The input is empty: send a video, a sound or a picture");
  }
  const all = chain(head, pieces);
  if (!options.whole && !needsSeeking(head)) {
    return {
      args: [...guards("pipe"), "-i", "pipe:0"],
      input: all,
      seekable: false,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const folder = await mkdtemp(join(tmpdir(), "velas-media-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "input");
    await pipeline(Readable.from(bounded(all, options.maxBytes)), createWriteStream(path, { mode: 0o600 }));
    return { args: [...guards("file"), "-i", `file:${path}`], seekable: true, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function guards(protocols: string): string[] {
  return ["-protocol_whitelist", protocols, "-format_whitelist", FORMATS.join(",")];
}

async function peek(pieces: AsyncIterator<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  while (length < PEEK_BYTES) {
    const next = await pieces.next();
    if (next.done === true) break;
    parts.push(next.value);
    length += next.value.length;
  }
  return Buffer.concat(parts);
}

async function* chain(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* bounded(input: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const piece of input) {
    length += piece.length;
    if (length > maxBytes) {
      throw new NodeError("input_too_large", `The media has more than the ${maxBytes} bytes that this plugin keeps`, {
        data: { limitBytes: maxBytes },
      });
    }
    yield piece;
  }
}

/**
 * Whether media of this beginning is an MP4 whose index lies behind its content, where no stream reader gets to in time: its boxes are walked
 * (ISO/IEC 14496-12, section 4.2) until `moov` or `mdat` comes.
 */
export function needsSeeking(head: Buffer): boolean {
  if (head.length < 12 || head.toString("latin1", 4, 8) !== "ftyp") return false;
  let at = 0;
  while (at + 8 <= head.length) {
    const type = head.toString("latin1", at + 4, at + 8);
    if (type === "moov" || type === "moof") return false;
    if (type === "mdat") return true;
    let size = head.readUInt32BE(at);
    if (size === 1) {
      if (at + 16 > head.length) return true;
      size = Number(head.readBigUInt64BE(at + 8));
    }
    if (size < 8) return true; // 0 reaches to the end of the file
    at += size;
  }
  return true;
}
