import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { scratch } from "../e2e/harness.ts";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";
import { openPage, picture, seekAndPlay } from "./harness.ts";

/** A ladder as the media plugin makes it: one transport stream of which the playlist names ranges. */
function makeLadder(folder: string): void {
  const source = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=640x360:rate=25:duration=20",
    "-f",
    "lavfi",
    "-i",
    "sine=duration=20",
  ];
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"];
  const hls = ["-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod", "-hls_flags", "single_file"];
  const names = [
    "-master_pl_name",
    "master.m3u8",
    "-hls_segment_filename",
    join(folder, "360.ts"),
    join(folder, "360.m3u8"),
  ];
  execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", ...source, ...codecs, ...hls, ...names]);
}

test("an HLS ladder on six nodes plays and seeks in the page with two of them gone", async (t) => {
  const { requester: { rest }, providers } = await startSwarm(t, 6);
  const folder = scratch(t);
  makeLadder(folder);
  let id = "";
  for (const name of readdirSync(folder)) {
    const type = name.endsWith(".ts") ? "video/mp2t" : "application/vnd.apple.mpegurl";
    const headers = { "content-type": type };
    const body = readFileSync(join(folder, name));
    const stored = await fetch(`${rest}/v1/files/films/a/${name}`, { method: "PUT", headers, body });
    assert.equal(stored.status, 201, await stored.clone().text());
    if (name === "master.m3u8") ({ id } = await stored.json() as { id: string });
  }
  for (const provider of providers.slice(0, 2)) await provider.stop("SIGKILL");

  const { page, assertQuiet } = await openPage(t, `${rest}/#/files/films%2Fa%2F?file=${id}`);
  const whole: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith(".ts") && request.headers()["range"] === undefined) whole.push(request.url());
  });
  const played = await seekAndPlay(page, 15);
  assert.equal(played.width, 640);
  assert.ok(Math.abs(played.duration - 20) < 1, `${played.duration} s long`);
  assert.ok(played.at >= 15.5, `at ${played.at} s`);
  assert.deepEqual(whole, []);
  console.log(`HLS on four of six nodes: a seek took ${played.seekMs.toFixed(0)} ms`);
  await picture(page, "hls");
  assertQuiet();
});
