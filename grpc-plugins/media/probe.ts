import { readFfmpeg } from "./ffmpeg.ts";
import type { Source } from "./source.ts";

/** What is known of media before it is worked on. */
export interface Probe {
  /** Undefined where the container does not tell. */
  readonly seconds: number | undefined;
  /** Of the first video stream, in pixels. */
  readonly height: number | undefined;
  readonly hasAudio: boolean;
}

interface Described {
  readonly format?: { readonly duration?: string; filename?: string };
  readonly streams?: readonly { readonly codec_type?: string; readonly height?: number }[];
}

/** What ffprobe says of a source, as JSON, without the place that it was read from. */
export async function probeJson(source: Source, signal: AbortSignal): Promise<string> {
  return JSON.stringify(await describe(source, signal));
}

/** The part of it that functions need. */
export async function probe(source: Source, signal: AbortSignal): Promise<Probe> {
  const { format, streams = [] } = await describe(source, signal);
  const seconds = Number(format?.duration);
  return {
    seconds: format?.duration !== undefined && Number.isFinite(seconds) ? seconds : undefined,
    height: streams.find(({ codec_type }) => codec_type === "video")?.height,
    hasAudio: streams.some(({ codec_type }) => codec_type === "audio"),
  };
}

async function describe(source: Source, signal: AbortSignal): Promise<Described> {
  const args = ["-loglevel", "error", "-show_format", "-show_streams", "-of", "json", ...source.args];
  const described = JSON.parse(
    (await readFfmpeg("ffprobe", { args, env: source.env, signal })).toString(),
  ) as Described;
  delete described.format?.filename;
  return described;
}
