/**
 * What the web page costs a browser, and what checkers of pages ask of one: bytes of the first and the second load, first paint, time to
 * interactive, shifts of what is shown, and on every page names, contrast, sizes of what is clicked, headings and complaints. Chromium loads it
 * from a node of three over loopback, each time with an empty cache; "slowed" is a phone's width with the processor slowed four times, as
 * Lighthouse does it.
 *
 *     npm run bench -- web-page [--loads 5]
 *
 * Fails when something that is asked is not met. Times are medians. Time to interactive is that of Lighthouse: the end of the last task of more
 * than 50 ms, or the first paint when there is none, before five seconds in which there is none.
 */
import { parseArgs } from "node:util";
import process from "node:process";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { post } from "../test/e2e/harness.ts";
import { startSwarm } from "../test/e2e/swarm.ts";
import { openBrowser, openPage } from "../test/ui/harness.ts";
import { DOCUMENT_FAULTS, FAINT, HEAVY_PICTURES, NAMELESS, SMALL } from "../test/ui/page-checks.ts";

const { values: args } = parseArgs({ options: { loads: { type: "string", default: "5" } } });
const loads = Number(args.loads);
if (!(Number.isInteger(loads) && loads >= 1 && loads <= 100)) {
  console.error("--loads takes 1 to 100");
  process.exit(2);
}

const QUIET_MS = 5000;
const PAGES = ["overview", "tasks", "files", "plugins", "peers", "payments", "settings"] as const;
const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 } };

interface Row {
  readonly what: string;
  readonly asked: string;
  readonly figure: string;
  readonly met: boolean;
}

const rows: Row[] = [];

function atMost(what: string, value: number, limit: { readonly most: number; readonly unit: string }): void {
  const show = (number: number) => number.toLocaleString("en", { maximumFractionDigits: number < 1 ? 3 : 0 });
  const { most, unit } = limit;
  rows.push({ what, asked: `<= ${show(most)}${unit}`, figure: `${show(value)}${unit}`, met: value <= most });
}

function none(what: string, found: readonly string[]): void {
  const figure = found.length === 0 ? "none" : [...new Set(found)].slice(0, 3).join("; ");
  rows.push({ what, asked: "none", figure, met: found.length === 0 });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Notes what the browser measures from the first moment on. */
const OBSERVE = `(() => {
  const seen = window.velasSeen = { longTasks: [], shift: 0, largest: 0 };
  const observe = (type, use) => new PerformanceObserver((list) => list.getEntries().forEach(use)).observe({ type, buffered: true });
  observe("longtask", ({ startTime, duration }) => seen.longTasks.push({ startTime, duration }));
  observe("layout-shift", ({ value, hadRecentInput }) => seen.shift += hadRecentInput ? 0 : value);
  observe("largest-contentful-paint", ({ startTime }) => seen.largest = startTime);
})()`;

interface Load {
  readonly firstPaint: number;
  readonly largestPaint: number;
  readonly interactive: number;
  readonly blocked: number;
  readonly shift: number;
  /** Bytes as they were sent, headers included, by what they are for. */
  readonly fileBytes: number;
  readonly apiBytes: number;
  readonly requests: number;
}

interface Seen {
  readonly longTasks: readonly { readonly startTime: number; readonly duration: number }[];
  readonly shift: number;
  readonly largest: number;
  readonly firstPaint: number;
}

/** The page has what it shows, and for five seconds no task was long. */
async function settle(page: Page): Promise<Seen> {
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.locator(".chart canvas").first().waitFor();
  return await page.evaluate(`(async () => {
    const seen = window.velasSeen;
    const lastEnd = () => Math.max(0, ...seen.longTasks.map(({ startTime, duration }) => startTime + duration));
    const from = performance.now();
    while (performance.now() - Math.max(lastEnd(), from) < ${QUIET_MS}) await new Promise((next) => setTimeout(next, 100));
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    return { ...seen, firstPaint: paint.startTime };
  })()`) as Seen;
}

async function load(browser: Browser, url: string, options: { readonly slowed: boolean }): Promise<Load> {
  const context = await browser.newContext(options.slowed ? PHONE : { viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(OBSERVE);
  const devtools = await context.newCDPSession(page);
  await devtools.send("Network.enable");
  const urls = new Map<string, string>();
  const sizes = new Map<string, number>();
  devtools.on("Network.responseReceived", ({ requestId, response }) => urls.set(requestId, response.url));
  devtools.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength));
  if (options.slowed) await devtools.send("Emulation.setCPUThrottlingRate", { rate: 4 });
  await page.goto(url);
  const { longTasks, shift, largest, firstPaint } = await settle(page);
  const bytes = { file: 0, api: 0 };
  for (const [id, size] of sizes) {
    bytes[new URL(urls.get(id) ?? url).pathname.startsWith("/v1/") ? "api" : "file"] += size;
  }
  await context.close();
  const late = longTasks.filter(({ startTime, duration }) => startTime + duration > firstPaint);
  return {
    firstPaint,
    largestPaint: largest,
    interactive: Math.max(firstPaint, ...late.map(({ startTime, duration }) => startTime + duration)),
    blocked: late.reduce((sum, { duration }) => sum + duration - 50, 0),
    shift,
    fileBytes: bytes.file,
    apiBytes: bytes.api,
    requests: sizes.size,
  };
}

async function measureLoads(browser: Browser, url: string): Promise<void> {
  for (const slowed of [false, true]) {
    const name = slowed ? "slowed" : "desk";
    const all: Load[] = [];
    for (let i = 0; i < loads; i++) all.push(await load(browser, url, { slowed }));
    const of = (key: keyof Load) => median(all.map((one) => one[key]));
    if (!slowed) {
      atMost("first load: the page's own files, compressed", of("fileBytes"), { most: 150_000, unit: " B" });
      atMost("first load: with what it asks of the API", of("fileBytes") + of("apiBytes"), {
        most: 150_000,
        unit: " B",
      });
      atMost("first load: requests that ended", of("requests"), { most: 25, unit: "" });
    }
    atMost(`first contentful paint, ${name}`, of("firstPaint"), { most: 1800, unit: " ms" });
    atMost(`largest contentful paint, ${name}`, of("largestPaint"), { most: 2500, unit: " ms" });
    atMost(`time to interactive, ${name}`, of("interactive"), { most: 3800, unit: " ms" });
    atMost(`total blocking time, ${name}`, of("blocked"), { most: 200, unit: " ms" });
    atMost(`cumulative layout shift, ${name}`, of("shift"), { most: 0.1, unit: "" });
  }
}

/** What the node says with the page's files. */
async function checkAnswers(url: string): Promise<void> {
  const wanted = { accept: "text/html", "accept-encoding": "gzip, br" };
  const files = ["", "ui/app.js", "ui/app.css", "ui/hls.js", "ui/icon.svg"];
  const faults = { plain: [] as string[], stale: [] as string[], typed: [] as string[] };
  for (const file of files) {
    const answer = await fetch(`${url}/${file}`, { headers: wanted });
    await answer.arrayBuffer();
    if (answer.headers.get("content-encoding") !== "gzip") faults.plain.push(`/${file}`);
    if (answer.headers.get("x-content-type-options") !== "nosniff") faults.typed.push(`/${file}`);
    const tag = answer.headers.get("etag");
    const again = tag === null
      ? undefined
      : await fetch(`${url}/${file}`, { headers: { ...wanted, "if-none-match": tag } });
    if (again?.status !== 304 || !answer.headers.get("cache-control")) faults.stale.push(`/${file}`);
  }
  none("files that are sent uncompressed", faults.plain);
  none("files without cache rules, or sent again though unchanged", faults.stale);
  none("files whose type may be guessed", faults.typed);
  const policy = (await fetch(url, { headers: wanted })).headers.get("content-security-policy") ?? "";
  const weak = ["'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:", "data:"].filter((word) =>
    policy.split(/[ ;]+/).includes(word)
  );
  const missing = ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"].filter((
    part,
  ) => !policy.split("; ").includes(part));
  none("holes in the Content-Security-Policy", [...weak, ...missing.map((part) => `no ${part}`)]);
}

async function checkPages(browser: Browser, url: string): Promise<void> {
  const faults: Record<string, string[]> = {
    "documents that lack something": [],
    "controls without a name": [],
    "texts below 4.5:1 (large ones 3:1)": [],
    "targets below 24 px": [],
    "pictures larger than they are shown": [],
    "complaints, and requests to others": [],
  };
  const note = (name: string, found: unknown, where: string) =>
    faults[name]!.push(...(found as string[]).map((one) => `${where}: ${one}`));
  for (const colorScheme of ["light", "dark"] as const) {
    for (const size of [PHONE, { viewport: { width: 1440, height: 900 } }]) {
      const { page, complaints } = await openPage(scope, url, { browser, colorScheme, ...size });
      await page.locator(".dot.live").waitFor();
      for (const name of PAGES) {
        const where = `${name}, ${size.viewport!.width} px, ${colorScheme}`;
        await page.goto(`${url}/#/${name}`);
        await page.getByRole("heading", { level: 1 }).filter({ hasText: new RegExp(name, "i") }).waitFor();
        await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
        note("documents that lack something", await page.evaluate(DOCUMENT_FAULTS), where);
        note("controls without a name", await page.evaluate(NAMELESS), where);
        note("texts below 4.5:1 (large ones 3:1)", await page.evaluate(FAINT), where);
        note("targets below 24 px", await page.evaluate(SMALL), where);
        note("pictures larger than they are shown", await page.evaluate(HEAVY_PICTURES), where);
      }
      note("complaints, and requests to others", complaints, `${size.viewport!.width} px, ${colorScheme}`);
      await page.context().close();
    }
  }
  for (const [name, found] of Object.entries(faults)) none(name, found);
}

const cleanups: (() => unknown)[] = [];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
try {
  const { requester: { rest }, providers } = await startSwarm(scope, 2);
  await post(`${rest}/v1/tasks/run`, { id: "job-1", target: providers[0]!.rpc, input: "hello" });
  const stored = await fetch(`${rest}/v1/files/notes.txt?policy=1%2B1`, { method: "PUT", body: "kept" });
  if (!stored.ok) throw new Error(`The file was not stored: ${await stored.text()}`);
  const browser = await openBrowser(scope);
  await measureLoads(browser, rest);
  await checkAnswers(rest);
  await checkPages(browser, rest);
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}

const widths = [0, 1, 2].map((i) =>
  Math.max(...rows.map(({ what, asked, figure }) => [what, asked, figure][i]!.length))
);
for (const { what, asked, figure, met } of rows) {
  console.log(
    `${what.padEnd(widths[0]!)}  ${asked.padStart(widths[1]!)}  ${figure.padStart(widths[2]!)}  ${
      met ? "met" : "NOT MET"
    }`,
  );
}
const missed = rows.filter(({ met }) => !met);
console.log(`${rows.length - missed.length} of ${rows.length} met; ${loads} loads each`);
process.exit(missed.length === 0 ? 0 : 1);
