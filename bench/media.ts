/**
 * Frames per second of a transcode: by FFmpeg alone, and by the media plugin, which a plugin host sends the same video as a stream over gRPC.
 * Both take turns, so that a busy machine slows both. Run: `npm run bench -- media [seconds of video] [rounds] [--runtime deno]`.
 * FFmpeg must be installed.
 */
import { execFileSync, spawn } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { ANONYMOUS, isDeno, noMetrics, silentLog } from "../src/core/mod.ts";
import type { PluginEvent } from "../src/core/mod.ts";
import { openPluginHost } from "../src/plugins/mod.ts";
import { commandLine } from "../test/e2e/harness.ts";

const RATE = 25;
const seconds = Number(process.argv[2] ?? 20);
const rounds = Number(process.argv[3] ?? 5);
if (!(seconds >= 1 && seconds <= 3600 && rounds >= 1 && rounds <= 100)) {
  console.error("Give 1 to 3600 seconds of video, and 1 to 100 rounds");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "bench-media-"));
const clip = join(folder, "clip.mkv");
const picture = `testsrc2=size=1280x720:rate=${RATE}:duration=${seconds}`;
execFileSync("ffmpeg", [
  ...["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", `sine=duration=${seconds}`],
  ...["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", clip],
]);

/** What the plugin has ffmpeg do for `height=360` (grpc-plugins/media/functions.ts), from the file itself. */
const BARE = [
  ...["-nostdin", "-loglevel", "error", "-i", clip, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"],
  ...[
    "-vf",
    "scale=-2:360",
    "-crf",
    "23",
    "-force_key_frames",
    "expr:gte(t,n_forced*2)",
    "-c:a",
    "aac",
    "-b:a",
    "128k",
  ],
  ...["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1"],
];

async function bare(): Promise<number> {
  const child = spawn("ffmpeg", BARE, { stdio: ["ignore", "pipe", "inherit"] });
  let bytes = 0;
  child.stdout.on("data", (chunk: Uint8Array) => bytes += chunk.length);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}`);
  return bytes;
}

const [command, args] = commandLine(["plugin", "media", "--json", "--listen", "127.0.0.1:0"]);
const plugin = spawn(command, args, { cwd: tmpdir(), stdio: ["ignore", "ignore", "pipe"] });
const ended = new Promise<void>((resolve) => plugin.on("close", () => resolve()));
const address = await new Promise<string>((resolve, reject) => {
  void ended.then(() => reject(new Error("The media plugin ended instead of serving")));
  createInterface({ input: plugin.stderr }).on("line", (line) => {
    const { rpc } = JSON.parse(line) as { rpc?: string };
    if (rpc !== undefined) resolve(rpc);
  });
});
const host = await openPluginHost({
  folder,
  defaultPlugin: "demo",
  workers: 1,
  maxModuleBytes: 1 << 20,
  maxInputBytes: 1 << 30,
  allowUrlInstall: false,
  external: [{ name: "media", address, protocol: "velas" }],
  log: silentLog,
  metrics: noMetrics,
});

async function throughPlugin(): Promise<number> {
  let bytes = 0;
  await host.execute({
    plugin: "media",
    function: "transcode",
    input: createReadStream(clip),
    contentType: "video/x-matroska; height=360",
    limits: { timeoutMs: 3_600_000, memoryBytes: 1 << 30, outputBytes: 2 ** 31 },
    requester: ANONYMOUS,
    signal: new AbortController().signal,
    streamOutput: true,
    onEvent: (event: PluginEvent) => void (event.type === "chunk" && (bytes += event.bytes.length)),
  });
  return bytes;
}

try {
  const ways = [["ffmpeg", bare], ["plugin", throughPlugin]] as const;
  const times: Record<string, number> = { ffmpeg: 0, plugin: 0 };
  for (const [, way] of ways) if (await way() === 0) throw new Error("A transcode gave nothing"); // a first round, not counted
  const ratios: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const took: Record<string, number> = {};
    for (const [name, way] of i % 2 === 0 ? ways : [ways[1], ways[0]]) {
      const startedAt = performance.now();
      await way();
      took[name] = (performance.now() - startedAt) / 1000;
      times[name]! += took[name];
    }
    ratios.push(took["ffmpeg"]! / took["plugin"]!);
  }
  const fps = (name: string): string => (rounds * seconds * RATE / times[name]!).toFixed(0);
  const [low, high] = [Math.min(...ratios).toFixed(2), Math.max(...ratios).toFixed(2)];
  console.log(`${isDeno ? "Deno" : "Node"}, 720p to 360p, ${rounds} rounds of ${seconds} s: frames a second`);
  console.log(`ffmpeg alone: ${fps("ffmpeg")}`);
  console.log(`media plugin: ${fps("plugin")}`);
  console.log(`plugin ÷ ffmpeg: ${(times["ffmpeg"]! / times["plugin"]!).toFixed(2)} (${low} to ${high})`);
} finally {
  await host.close();
  process.kill(plugin.pid!, "SIGTERM");
  await ended;
  rmSync(folder, { recursive: true });
}
