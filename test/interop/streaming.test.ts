import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";

const run = promisify(execFile);
const QUIET = ["-nostdin", "-loglevel", "error"];

/** The SHA-256 of one decoded frame, as ffmpeg has it from a place. */
async function frameAt(place: string, seconds: number): Promise<string> {
  const { stdout } = await run("ffmpeg", [
    ...QUIET,
    ...["-ss", String(seconds), "-i", place, "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "hash", "-"],
  ]);
  return stdout.trim();
}

test("ffprobe and ffmpeg read a video over HTTP and seek in it, with n−k of its nodes down", async (t) => {
  const { requester: { rest }, providers, folder } = await startSwarm(t, 6);
  // Its index is at the end, so that a player must seek before it shows anything.
  const path = join(folder, "film.mp4");
  await run("ffmpeg", [
    ...QUIET,
    ...["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=60", "-c:v", "libx264", "-preset", "ultrafast"],
    ...["-g", "50", "-pix_fmt", "yuv420p", path],
  ]);
  const stored = await fetch(`${rest}/v1/files/film.mp4?policy=4%2B2`, { method: "PUT", body: readFileSync(path) });
  assert.equal(stored.status, 201);
  const { id } = await stored.json() as { id: string };
  const place = `${rest}/v1/files/${id}/content`;
  const settled = async () =>
    (await (await fetch(`${rest}/v1/files/${id}/health`)).json() as { shards: { state: string }[] }).shards
      .every(({ state }) => state === "stored" || state === "proven");
  while (!await settled()) await new Promise((resolve) => setTimeout(resolve, 50));
  for (const provider of providers.slice(0, 2)) await provider.stop("SIGKILL");

  const { stdout } = await run("ffprobe", [...QUIET.slice(1), "-show_format", "-show_streams", "-of", "json", place]);
  const described = JSON.parse(stdout) as { format: { duration: string }; streams: { height: number }[] };
  assert.equal(Math.round(Number(described.format.duration)), 60);
  assert.equal(described.streams[0]!.height, 360);
  for (const seconds of [0, 47, 12.5, 59]) {
    const begun = performance.now();
    const frame = await frameAt(place, seconds);
    console.log(
      `second ${seconds}: first frame after ${(performance.now() - begun).toFixed(0)} ms, with two of six nodes down`,
    );
    assert.equal(frame, await frameAt(path, seconds), `the frame at second ${seconds}`);
  }
});
