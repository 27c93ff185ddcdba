/** Drives the web page of real nodes in Chromium. `VELAS_SPHERE_SCREENSHOTS` names a folder for pictures of what the tests saw. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { chromium } from "playwright-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { TestScope } from "../testing.ts";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** Waits end with what they wait for. This is only how long a test hangs that waits in vain: a busy machine must not be taken for that. */
const HANG_MS = 180_000;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];

/** Starts a browser that goes with the test. */
export async function openBrowser(t: TestScope): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, timeout: HANG_MS });
  t.after(() => browser.close());
  return browser;
}

export interface OpenPageOptions extends BrowserContextOptions {
  /** Text of console messages and failed calls that the test provokes; any other fails it. */
  readonly mayFail?: RegExp;
  readonly browser?: Browser;
}

export interface OpenedPage {
  readonly page: Page;
  /** What it complained of so far, and what it asked of other hosts. */
  readonly complaints: readonly string[];
  /** Fails when the page complained of anything, or asked anything of another host. */
  assertQuiet(): void;
}

/** Opens a page of a node in a fresh profile. */
export async function openPage(t: TestScope, url: string, options: OpenPageOptions = {}): Promise<OpenedPage> {
  const { mayFail, browser = await openBrowser(t), ...context } = options;
  const opened = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "en-GB", ...context });
  opened.setDefaultTimeout(HANG_MS);
  const page = await opened.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "blob:" && host !== new URL(url).host) complaints.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return {
    page,
    complaints,
    assertQuiet: () => assert.deepEqual(complaints.filter((text) => mayFail === undefined || !mayFail.test(text)), []),
  };
}

/** Nothing of the page is cut off at the side, and the page does not scroll sideways. */
export async function assertFits(page: Page): Promise<void> {
  // What slides in is there once it has.
  await page.evaluate(`Promise.all(document.getAnimations()
    .filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity)
    .map(({ finished }) => finished.catch(() => {})))`);
  const wide = await page.evaluate(`[...document.querySelectorAll("main *, dialog *")]
    .filter((one) => !one.closest(".table-wrap, .table-scroll") && one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => one.tagName + "." + one.className)`);
  assert.deepEqual(wide, []);
  assert.equal(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
}

/** What a video of the page did, in seconds and pixels, and how long its seek took. */
export interface Played {
  readonly at: number;
  readonly duration: number;
  readonly width: number;
  readonly seekMs: number;
}

/** Has the page's video seek and play on for half a second. */
export async function seekAndPlay(page: Page, seconds: number): Promise<Played> {
  await page.locator("video").waitFor();
  return await page.evaluate(`(async () => {
    const video = document.querySelector("video");
    const event = (name) => new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true });
    });
    if (video.readyState < 2) { video.preload = "auto"; await event("loadeddata"); }
    const begun = performance.now();
    const moved = event("seeked");
    video.currentTime = ${seconds};
    await moved;
    const seekMs = performance.now() - begun;
    video.muted = true;
    await video.play();
    while (video.currentTime < ${seconds} + 0.5) await event("timeupdate");
    return { at: video.currentTime, duration: video.duration, width: video.videoWidth, seekMs };
  })()`) as Played;
}

/** Keeps a picture of the page when CI wants pictures. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env["VELAS_SPHERE_SCREENSHOTS"];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
