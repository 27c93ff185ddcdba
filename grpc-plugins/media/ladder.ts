import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeError } from "../../src/core/mod.ts";
import { PROGRESS, readFfmpeg, type Report } from "./ffmpeg.ts";
import type { Library } from "./library.ts";
import type { Probe } from "./probe.ts";
import type { StoredRequest } from "./request.ts";
import type { Source } from "./source.ts";

export interface LadderOrder extends StoredRequest {
  readonly source: Source;
  readonly described: Probe;
  readonly threads: readonly string[];
  readonly onProgress: (report: Report) => void;
}

/** The names of what was stored. */
export interface Ladder {
  readonly master: string;
  readonly variants: readonly { readonly height: number; readonly playlist: string; readonly media: string }[];
}

/** Heights of a ladder when none are asked for, with bit rates in kbit/s. */
const RUNGS: readonly (readonly [height: number, rate: number])[] = [[240, 400], [360, 800], [480, 1400], [720, 2800], [
  1080,
  5000,
]];

/**
 * Makes an HLS ladder and stores it: a master playlist, and for each height a playlist and one MPEG transport stream of which it names byte ranges
 * (RFC 8216, section 4.3.2.2), so that a rung is one stored file, however long it plays. (In ladders of fragmented MP4 players on FFmpeg 5
 * cannot seek.) No rung is higher than the source.
 */
export async function makeLadder(order: LadderOrder, library: Library, signal: AbortSignal): Promise<Ladder> {
  const { described: { height, hasAudio }, source } = order;
  if (height === undefined) throw new NodeError("invalid_argument", `The file ${order.file} has no video`);
  const rungs = rungsFor(height, order.heights);
  const into = order.into ?? `${order.file.replace(/\.[^./]+$/, "")}/`;
  const folder = await mkdtemp(join(tmpdir(), "velas-media-"));
  try {
    const split = `[0:v:0]split=${rungs.length}${rungs.map((_, i) => `[s${i}]`).join("")}`;
    const scales = rungs.map(([rung], i) => `[s${i}]scale=-2:${rung}[v${i}]`);
    const maps = rungs.flatMap(([, rate], i) => [
      "-map",
      `[v${i}]`,
      ...(hasAudio ? ["-map", "0:a:0"] : []),
      `-b:v:${i}`,
      `${rate}k`,
      `-maxrate:v:${i}`,
      `${rate}k`,
      `-bufsize:v:${i}`,
      `${2 * rate}k`,
    ]);
    const args = [
      ...PROGRESS,
      ...order.threads,
      ...source.args,
      "-filter_complex",
      [split, ...scales].join(";"),
      ...maps,
      ...["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"],
      ...["-force_key_frames", "expr:gte(t,n_forced*2)", "-sc_threshold", "0"],
      ...(hasAudio ? ["-c:a", "aac", "-b:a", "128k"] : []),
      ...["-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod"],
      ...["-hls_segment_type", "mpegts", "-hls_flags", "single_file"],
      ...["-master_pl_name", "master.m3u8"],
      "-var_stream_map",
      rungs.map(([rung], i) => `v:${i}${hasAudio ? `,a:${i}` : ""},name:${rung}`).join(" "),
      "-hls_segment_filename",
      join(folder, "%v.ts"),
      join(folder, "%v.m3u8"),
    ];
    await readFfmpeg("ffmpeg", { args, env: source.env, signal, onProgress: order.onProgress });
    const put = (name: string, type: string) =>
      library.put(`${into}${name}`, { path: join(folder, name), type }, signal);
    for (const [rung] of rungs) {
      await put(`${rung}.ts`, "video/mp2t");
      await put(`${rung}.m3u8`, "application/vnd.apple.mpegurl");
    }
    // Last, so that who sees it finds the rest.
    await put("master.m3u8", "application/vnd.apple.mpegurl");
    const variants = rungs.map(([rung]) => ({
      height: rung,
      playlist: `${into}${rung}.m3u8`,
      media: `${into}${rung}.ts`,
    }));
    return { master: `${into}master.m3u8`, variants };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function rungsFor(height: number, wanted: readonly number[] | undefined): readonly (readonly [number, number])[] {
  if (wanted === undefined) {
    const fitting = RUNGS.filter(([rung]) => rung <= height);
    return fitting.length > 0 ? fitting : [rung(height)];
  }
  const heights = [...new Set(wanted.map((one) => one - one % 2))].sort((a, b) => a - b);
  const tooHigh = heights.find((one) => one > height);
  if (tooHigh !== undefined) {
    throw new NodeError(
      "invalid_argument",
      `heights has ${tooHigh}, and the video is ${height} pixels high: ask for less`,
    );
  }
  return heights.map(rung);
}

/** A rung with the bit rate of the next one that is as high; of what lies above all, the highest. */
function rung(height: number): readonly [number, number] {
  const [, rate] = RUNGS.find(([one]) => one >= height) ?? RUNGS.at(-1)!;
  return [height - height % 2, rate];
}
