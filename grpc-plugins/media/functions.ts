import { NodeError } from "../../src/core/mod.ts";
import type { PluginExecution, PluginImplementation, PluginInput } from "../../src/rpc/mod.ts";
import { PROGRESS, readFfmpeg, type Report, runFfmpeg } from "./ffmpeg.ts";
import { makeLadder } from "./ladder.ts";
import type { Library } from "./library.ts";
import { type Probe, probe, probeJson } from "./probe.ts";
import { isStoredRequest, type MediaOptions, optionsOf, type StoredRequest, storedRequest } from "./request.ts";
import { type Source, streamedSource } from "./source.ts";

export interface MediaOptionsOfPlugin {
  /** The files that tasks may name; without one they must bring their media. */
  readonly library?: Library | undefined;
  /** How much of a task's media may lie in a temporary file, in bytes. */
  readonly maxTemporaryBytes: number;
  /** How many threads one run of ffmpeg may use; 0 leaves it to ffmpeg. */
  readonly threads: number;
}

/** What a task wants done with which media. */
interface Job extends AsyncDisposable {
  readonly source: Source;
  readonly options: MediaOptions;
  readonly stored: StoredRequest | undefined;
}

/** The functions of the media plugin: FFmpeg on a task's bytes, or on files that the node keeps, which are read only where they must be. */
export function mediaFunctions(plugin: MediaOptionsOfPlugin) {
  const open = async (input: PluginInput, execution: PluginExecution, whole: boolean): Promise<Job> => {
    const { contentType } = execution;
    if (!isStoredRequest(contentType)) {
      const options = optionsOf(contentType);
      const source = await streamedSource(input, { whole, maxBytes: plugin.maxTemporaryBytes });
      return { source, options, stored: undefined, [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
    }
    const stored = storedRequest(await input.text());
    if (plugin.library === undefined) {
      throw new NodeError(
        "permission_denied",
        "This plugin has no files: start it with --node and --prefix, or send the media itself",
      );
    }
    const source = await plugin.library.open(stored.file);
    const close = async () => {
      await source[Symbol.asyncDispose]();
      execution.log("debug", `Read ${source.readBytes} bytes of ${stored.file}`);
    };
    return { source, options: stored, stored, [Symbol.asyncDispose]: close };
  };
  const threads = plugin.threads === 0 ? [] : ["-threads", String(plugin.threads)];

  /** Runs ffmpeg with the job's source and its output arguments, and gives the output as it comes. */
  async function* convert(
    input: PluginInput,
    execution: PluginExecution,
    output: (options: MediaOptions) => readonly string[],
  ): AsyncGenerator<Uint8Array> {
    await using job = await open(input, execution, false);
    const { source, options } = job;
    const length = source.seekable ? lengthOf(await probe(source, execution.signal), options) : undefined;
    yield* runFfmpeg("ffmpeg", {
      args: [...PROGRESS, ...threads, ...cut(options), ...source.args, ...limit(options), ...output(options), "pipe:1"],
      env: source.env,
      signal: execution.signal,
      onProgress: tell(execution, length),
      ...(source.input !== undefined && { input: source.input }),
    });
  }

  return {
    probe: {
      description: "Describes media: container, length, streams, codecs, sizes, as JSON of ffprobe.",
      outputContentType: "application/json",
      async run(input, execution) {
        await using job = await open(input, execution, true);
        return await probeJson(job.source, execution.signal);
      },
    },
    thumbnail: {
      description: "A picture of a video as JPEG; parameters: at (seconds), width (pixels, 320).",
      outputContentType: "image/jpeg",
      async run(input, execution) {
        await using job = await open(input, execution, true);
        const { source, options } = job;
        // Without a time, the frame that looks most like its neighbours: seldom a black one.
        const pick = options.at === undefined ? "thumbnail=50," : "";
        const args = [
          "-nostdin",
          "-loglevel",
          "error",
          ...threads,
          ...cut(options),
          ...source.args,
          "-frames:v",
          "1",
          "-vf",
          `${pick}scale=${options.width ?? 320}:-2`,
          "-c:v",
          "mjpeg",
          "-q:v",
          "4",
          "-f",
          "image2pipe",
          "pipe:1",
        ];
        const picture = await readFfmpeg("ffmpeg", { args, env: source.env, signal: execution.signal });
        if (picture.length > 0) return picture;
        throw new NodeError("invalid_argument", `The media has no picture at ${options.at ?? 0} s`);
      },
    },
    "extract-audio": {
      description:
        "The sound of a video as AAC in fragmented MP4, as it comes; parameters: at, duration, rate (kbit/s, 128).",
      outputContentType: "audio/mp4",
      run: (input, execution) =>
        convert(input, execution, ({ rate = 128 }) => ["-vn", "-c:a", "aac", "-b:a", `${rate}k`, ...FRAGMENTED]),
    },
    transcode: {
      description:
        "H.264 and AAC in fragmented MP4, as it comes; parameters: at, duration, height (pixels), rate (kbit/s).",
      outputContentType: "video/mp4",
      run: (input, execution) => convert(input, execution, (options) => [...h264(options), ...FRAGMENTED]),
    },
    hls: {
      description:
        'An HLS ladder of a stored file, stored beside it: {"file":"films/a.mp4","into":"films/a/","heights":[720,360]}. ' +
        "Answers the names of its playlists.",
      inputContentType: "application/json",
      outputContentType: "application/json",
      async run(input, execution) {
        await using job = await open(input, execution, false);
        if (job.stored === undefined || plugin.library === undefined) {
          throw new NodeError(
            "invalid_argument",
            'hls takes a stored file: send JSON such as {"file":"clip.mp4"} as application/json',
          );
        }
        const described = await probe(job.source, execution.signal);
        const onProgress = tell(execution, lengthOf(described, job.options));
        const order = { ...job.stored, source: job.source, described, threads, onProgress };
        return JSON.stringify(await makeLadder(order, plugin.library, execution.signal));
      },
    },
  } satisfies Record<string, PluginImplementation>;
}

/** MP4 in pieces that play while they come: no index at the end, nothing to go back to. */
const FRAGMENTED = ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"];

/** Where to begin; before the input, so that ffmpeg jumps there instead of decoding all before it. */
function cut({ at }: MediaOptions): string[] {
  return at === undefined ? [] : ["-ss", String(at)];
}

function limit({ duration }: MediaOptions): string[] {
  return duration === undefined ? [] : ["-t", String(duration)];
}

function h264({ height, rate }: MediaOptions): string[] {
  return [
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-pix_fmt",
    "yuv420p",
    "-vf",
    height === undefined ? "scale=trunc(iw/2)*2:trunc(ih/2)*2" : `scale=-2:${height - height % 2}`,
    ...(rate === undefined ? ["-crf", "23"] : ["-b:v", `${rate}k`, "-maxrate", `${rate}k`, "-bufsize", `${2 * rate}k`]),
    // A key frame each two seconds: pieces to seek to, and to send.
    "-force_key_frames",
    "expr:gte(t,n_forced*2)",
    "-c:a",
    "aac",
    "-b:a",
    "128k",
  ];
}

/** How long the output will be, in seconds, where that is known. */
function lengthOf({ seconds }: Probe, { at = 0, duration = Infinity }: MediaOptions): number | undefined {
  return seconds === undefined ? undefined : Math.max(0, Math.min(seconds - at, duration));
}

function tell(execution: PluginExecution, length: number | undefined): (report: Report) => void {
  return ({ seconds, speed }) => {
    const fraction = length === undefined || length === 0 ? 0 : Math.min(1, seconds / length);
    execution.progress(fraction, `${seconds.toFixed(1)} s${speed === "" || speed === "N/A" ? "" : ` at ${speed}`}`);
  };
}
