/**
 * How long a viewer waits for the first frame behind a seek, of a film that lies sealed on six nodes (4+2), with all of them and with two killed;
 * beside it, in turns, the same film from a plain server of files in a process of its own. Chromium plays both; the time is from setting
 * `currentTime` to the frame of that time (`requestVideoFrameCallback`). Nothing is cached, and films are asked for no more than what is shown.
 *
 *     npm run bench -- seek [--seeks 40] [--seconds 240]
 *
 * FFmpeg must be installed.
 */
import { execFileSync, spawn } from "node:child_process";
import { openAsBlob, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { Browser, Page } from "playwright-core";
import { get, until } from "../test/e2e/harness.ts";
import { startSwarm } from "../test/e2e/swarm.ts";
import { openBrowser } from "../test/ui/harness.ts";

const { values: args } = parseArgs({
  options: { seeks: { type: "string", default: "40" }, seconds: { type: "string", default: "240" } },
});
const seeks = Number(args.seeks);
const seconds = Number(args.seconds);
if (!(Number.isInteger(seeks) && seeks >= 1 && seeks <= 1000 && seconds >= 40 && seconds <= 3600)) {
  console.error("--seeks takes 1 to 1000, --seconds 40 to 3600");
  process.exit(2);
}

const PIECE_SECONDS = 20;

/** A film of 2.5 Mbit/s with a key frame every two seconds and its index in front. */
function makeFilm(folder: string): string {
  const piece = join(folder, "piece.mp4");
  const film = join(folder, "film.mp4");
  const quiet = ["-nostdin", "-loglevel", "error"];
  const picture = `testsrc2=size=640x360:rate=25:duration=${PIECE_SECONDS},noise=alls=12:allf=t`;
  const codec = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-b:v", "2500k", "-pix_fmt", "yuv420p"];
  execFileSync("ffmpeg", [...quiet, "-f", "lavfi", "-i", picture, ...codec, piece]);
  const more = String(Math.ceil(seconds / PIECE_SECONDS) - 1);
  execFileSync("ffmpeg", [...quiet, "-stream_loop", more, "-i", piece, "-c", "copy", "-movflags", "faststart", film]);
  return film;
}

/** A server of one file with ranges, as plain as they come. */
const PLAIN_SERVER = `
const { createReadStream, statSync } = require("node:fs");
const [, file] = process.argv;
const { size } = statSync(file);
require("node:http").createServer(({ url, headers }, answer) => {
  if (url !== "/film.mp4") return answer.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>plain</title>");
  const [, first = "0", last = ""] = /^bytes=(\\d+)-(\\d*)$/.exec(headers.range ?? "") ?? [];
  const start = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  answer.writeHead(headers.range === undefined ? 200 : 206, {
    "Content-Type": "video/mp4",
    "Content-Length": end - start + 1,
    "Accept-Ranges": "bytes",
    ...(headers.range !== undefined && { "Content-Range": "bytes " + start + "-" + end + "/" + size }),
  });
  const stream = createReadStream(file, { start, end });
  stream.pipe(answer);
  answer.on("close", () => stream.destroy());
}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
`;

async function startPlainServer(file: string): Promise<string> {
  const child = spawn(process.env["NODE"] ?? "node", ["-e", PLAIN_SERVER, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  scope.after(() => child.kill());
  for await (const port of createInterface({ input: child.stdout })) return `http://127.0.0.1:${port}`;
  throw new Error("The plain server did not start");
}

/** A page with nothing but the film, which is shown up to its beginning. */
async function openFilm(browser: Browser, page: { readonly at: string; readonly film: string }): Promise<Page> {
  const context = await browser.newContext();
  const opened = await context.newPage();
  await (await context.newCDPSession(opened)).send("Network.setCacheDisabled", { cacheDisabled: true });
  await opened.goto(page.at);
  await opened.evaluate(`new Promise((resolve, reject) => {
    const video = window.film = document.createElement("video");
    Object.assign(video, { preload: "metadata", muted: true, width: 640 });
    video.addEventListener("loadeddata", resolve, { once: true });
    video.addEventListener("error", () => reject(new Error(video.error.message)));
    video.src = ${JSON.stringify(page.film)};
    document.body.replaceChildren(video);
  })`);
  return opened;
}

/** Milliseconds from a seek to its frame. */
async function seek(page: Page, second: number): Promise<number> {
  return await page.evaluate(`new Promise((resolve, reject) => {
    const begun = performance.now();
    const look = (_, { mediaTime }) => Math.abs(mediaTime - ${second}) < 0.2
      ? resolve(performance.now() - begun)
      : film.requestVideoFrameCallback(look);
    film.requestVideoFrameCallback(look);
    setTimeout(() => reject(new Error("No frame of second ${second} within a minute")), 60_000);
    film.currentTime = ${second};
  })`) as number;
}

/** The same places each time, spread over the film, in an order of no pattern (mulberry32). */
function places(seed: number): readonly number[] {
  let state = seed;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const all = Array.from({ length: seeks }, (_, i) => 1 + (i + random()) * (seconds - 3) / seeks);
  return all.map((second) => ({ second, key: random() })).sort((a, b) => a.key - b.key).map(({ second }) => second);
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(values.length * share) - 1)]!;
}

async function compare(
  browser: Browser,
  what: string,
  where: { readonly rest: string; readonly id: string; readonly plain: string },
) {
  const sealed = await openFilm(browser, { at: `${where.rest}/#/settings`, film: `/v1/files/${where.id}/content` });
  const plain = await openFilm(browser, { at: where.plain, film: "/film.mp4" });
  const times = { sealed: [] as number[], plain: [] as number[] };
  for (const [i, second] of places(7).entries()) {
    // Whoever is second has a warmer machine: turns.
    for (const name of i % 2 === 0 ? ["sealed", "plain"] as const : ["plain", "sealed"] as const) {
      times[name].push(await seek(name === "sealed" ? sealed : plain, second));
    }
  }
  await Promise.all([sealed.context().close(), plain.context().close()]);
  const [p50, p99] = [0.5, 0.99].map((share) => [quantile(times.sealed, share), quantile(times.plain, share)] as const);
  const show = ([ours, theirs]: readonly [number, number]) =>
    `${ours.toFixed(0)} ms, plain ${theirs.toFixed(0)} ms: ${(ours / theirs).toFixed(2)} x`;
  console.log(`${what}, ${seeks} seeks to their first frame: p50 ${show(p50!)}; p99 ${show(p99!)}`);
}

const cleanups: (() => unknown)[] = [];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
try {
  const { requester: { rest }, providers, folder } = await startSwarm(scope, 6);
  const file = makeFilm(folder);
  const plain = await startPlainServer(file);
  const stored = await fetch(`${rest}/v1/files/film.mp4?policy=4%2B2`, {
    method: "PUT",
    headers: { "content-type": "video/mp4" },
    body: await openAsBlob(file),
  });
  if (!stored.ok) throw new Error(`The film was not stored: ${await stored.text()}`);
  const { id } = await stored.json() as { id: string };
  await until(async () =>
    (await get<{ healthyShards: number }>(`${rest}/v1/files/${id}`)).healthyShards === 6 || undefined
  );
  console.log(`${seconds} s of film, ${(statSync(file).size / 2 ** 20).toFixed(0)} MiB, 4+2`);
  const browser = await openBrowser(scope);
  await compare(browser, "Six nodes", { rest, id, plain });
  for (const provider of providers.slice(0, 2)) await provider.stop("SIGKILL");
  await compare(browser, "Four of six", { rest, id, plain });
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
process.exit(0);
