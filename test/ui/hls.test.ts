import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { get, post, startNode } from "../e2e/harness.ts";
import { startMediaPlugin } from "../e2e/media-plugin.ts";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";
import { openPage, picture, seekAndPlay } from "./harness.ts";

/** Twenty seconds of test picture and tone, 360 pixels high. */
function makeFilm(folder: string): string {
  const path = join(folder, "film.mp4");
  const sources = ["testsrc2=size=640x360:rate=25:duration=20", "sine=duration=20"].flatMap((
    one,
  ) => ["-f", "lavfi", "-i", one]);
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"];
  execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", ...sources, ...codecs, path]);
  return path;
}

interface Stored {
  readonly id: string;
  readonly name: string;
  readonly contentType: string;
}

test("an HLS ladder that the media plugin makes of a stored film plays and seeks in the page with two of six nodes gone", async (t) => {
  const { requester: { rest }, providers, folder } = await startSwarm(t, 6);
  const plugin = await startMediaPlugin(t, ["--node", rest, "--prefix", "films/"]);
  const runner = await startNode(t, {
    dataDir: join(folder, "runner"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  const put = await fetch(`${rest}/v1/files/films/film.mp4`, {
    method: "PUT",
    headers: { "content-type": "video/mp4" },
    body: readFileSync(makeFilm(folder)),
  });
  assert.equal(put.status, 201, await put.text());
  const made = await post(`${runner.rest}/v1/tasks/run`, {
    plugin: "media",
    function: "hls",
    contentType: "application/json",
    input: JSON.stringify({ file: "films/film.mp4", into: "films/ladder/", heights: [180, 360] }),
    limits: { timeoutMs: 300_000 },
  });
  assert.equal(made.status, 200, made.text);
  const { files } = await get<{ files: Stored[] }>(`${rest}/v1/files?prefix=films%2Fladder%2F`);
  assert.deepEqual(files.map(({ name, contentType }) => [name.slice("films/ladder/".length), contentType]).sort(), [
    ["180.m3u8", "application/vnd.apple.mpegurl"],
    ["180.ts", "video/mp2t"],
    ["360.m3u8", "application/vnd.apple.mpegurl"],
    ["360.ts", "video/mp2t"],
    ["master.m3u8", "application/vnd.apple.mpegurl"],
  ]);
  const { id } = files.find(({ name }) => name.endsWith("master.m3u8"))!;
  for (const provider of providers.slice(0, 2)) await provider.stop("SIGKILL");

  const { page, assertQuiet } = await openPage(t, `${rest}/#/files/films%2Fladder%2F?file=${id}`);
  const whole: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith(".ts") && request.headers()["range"] === undefined) whole.push(request.url());
  });
  const played = await seekAndPlay(page, 15);
  assert.ok([320, 640].includes(played.width), `${played.width} pixels wide`);
  assert.ok(Math.abs(played.duration - 20) < 1, `${played.duration} s long`);
  assert.ok(played.at >= 15.5, `at ${played.at} s`);
  assert.deepEqual(whole, []);
  console.log(`HLS on four of six nodes: a seek took ${played.seekMs.toFixed(0)} ms`);
  await picture(page, "hls");
  assertQuiet();
});
