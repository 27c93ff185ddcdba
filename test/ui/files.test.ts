import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../e2e/harness.ts";
import { startSwarm } from "../e2e/swarm.ts";
import type { CallContext } from "../../src/core/mod.ts";
import { NODE_ID, serve } from "../rest/harness.ts";
import { test } from "../testing.ts";
import { openPage, picture, seekAndPlay } from "./harness.ts";

const VIDEO = readFileSync("test/ui/media/clip.webm");

/** Stores a file; again when its providers did not answer in time, as the node asks for, on a machine that is busy. */
async function put(
  url: string,
  request: { readonly body: Uint8Array<ArrayBuffer>; readonly type?: string },
): Promise<Response> {
  return await until(async () => {
    const headers = { ...(request.type !== undefined && { "content-type": request.type }) };
    const answer = await fetch(url, { method: "PUT", body: request.body, headers });
    return answer.status === 503 ? undefined : answer;
  });
}

test("a video on six nodes plays and seeks in the page, also with two of them gone", async (t) => {
  const { requester: { rest }, providers } = await startSwarm(t, 6);
  const stored = await put(`${rest}/v1/files/films/clip.webm`, { body: VIDEO });
  assert.equal(stored.status, 201);
  const { id } = await stored.json() as { id: string };

  const watch = async (name: string) => {
    const { page } = await openPage(t, `${rest}/#/files/films%2F?file=${id}`);
    const ranges: string[] = [];
    page.on("request", (request) => {
      const { range } = request.headers();
      if (request.url().endsWith("/content") && range !== undefined) ranges.push(range);
    });
    const played = await seekAndPlay(page, 50);
    assert.equal(played.width, 320);
    assert.ok(Math.abs(played.duration - 60) < 1, `${played.duration} s long`);
    assert.ok(played.at >= 50.5 && played.at < 60, `at ${played.at} s`);
    console.log(`${name}: a seek took ${played.seekMs.toFixed(0)} ms`);
    await picture(page, `video-${name}`);
    await page.context().close();
  };
  await watch("six-nodes");
  for (const provider of providers.slice(0, 2)) await provider.stop("SIGKILL");
  await watch("four-nodes");
});

test("a file is dropped, shown with its shards, renamed and removed", async (t) => {
  const { requester: { rest }, folder } = await startSwarm(t, 6);
  const { page, assertQuiet } = await openPage(t, `${rest}/#/files`);
  await page.getByText("No files yet").waitFor();
  await picture(page, "files-empty");
  writeFileSync(join(folder, "notes.txt"), "kept on six nodes");
  await page.locator("input[type=file][multiple]").setInputFiles(join(folder, "notes.txt"));
  await page.locator(".upload.done").filter({ hasText: "notes.txt" }).waitFor();
  await page.locator(".files").getByRole("link", { name: "notes.txt" }).click();
  const dialog = page.getByRole("dialog").first();
  await dialog.locator(".output").filter({ hasText: "kept on six nodes" }).waitFor();
  assert.equal(await dialog.locator(".shard").count(), 6);
  await dialog.getByRole("button", { name: "Audit now" }).click();
  await dialog.locator(".shard.ok").nth(5).waitFor();
  await picture(page, "file-details");

  await dialog.getByRole("button", { name: "Rename" }).first().click();
  await dialog.getByLabel("New name, of all versions").fill("folder/notes.txt");
  await dialog.getByLabel("New name, of all versions").press("Enter");
  await page.getByText("Renamed to folder/notes.txt").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".files").getByRole("link", { name: "folder/" }).click();
  await page.locator(".files").getByRole("link", { name: "notes.txt" }).click();
  await dialog.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").nth(1).getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByText("Nothing in this folder").waitFor();
  assertQuiet();
});

const CTX: CallContext = { requester: NODE_ID, signal: new AbortController().signal, requestId: "test" };

async function* text(content: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(content);
}

test("10,000 files in a list are scrolled to the last one, with few rows at a time", async (t) => {
  const { url, files } = await serve(t);
  for (let i = 0; i < 10_000; i++) {
    await files.put(text(""), { name: `file-${String(i).padStart(5, "0")}`, contentType: "" }, CTX);
  }
  const { page, assertQuiet } = await openPage(t, `${url}/#/files`);
  await page.getByRole("link", { name: "file-00000" }).waitFor();
  const table = page.locator(".files");
  while (await table.getAttribute("aria-rowcount") !== "10001") {
    // At the end of what is there the next part is fetched.
    await page.evaluate(`new Promise((resolve) => {
      const table = document.querySelector(".files");
      const rows = () => table.getAttribute("aria-rowcount");
      const before = rows();
      const watch = new MutationObserver(() => {
        if (rows() === before) return;
        watch.disconnect();
        resolve();
      });
      watch.observe(table, { attributes: true });
      scrollTo(0, document.documentElement.scrollHeight);
    })`);
  }
  await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)");
  await page.getByRole("link", { name: "file-09999" }).waitFor();
  assert.ok(await page.locator(".files tbody tr").count() < 150);
  assertQuiet();
});

test("names of files with markup and turned writing are shown as they are, and open", async (t) => {
  const { url, files } = await serve(t);
  const name = "<img src=x onerror=alert(1)>\u202Egpj.html";
  await files.put(text("<script>document.title='owned'</script>"), { name, contentType: "text/html" }, CTX);
  const { page, assertQuiet } = await openPage(t, `${url}/#/files`);
  await page.locator(".files a").filter({ hasText: "⟨202E⟩gpj.html" }).click();
  await page.getByRole("dialog").locator(".output").filter({ hasText: "<script>" }).waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.match(await page.title(), /^Files/);
  assertQuiet();
});

test("a file is shared to the key of another node, as a manifest to send", async (t) => {
  const { url, files } = await serve(t);
  await files.put(text("hello"), { name: "notes.txt", contentType: "text/plain" }, CTX);
  const { page, assertQuiet } = await openPage(t, `${url}/#/files`);
  await page.locator(".files").getByRole("link", { name: "notes.txt" }).click();
  const dialog = page.getByRole("dialog").first();
  await dialog.getByRole("button", { name: "Share" }).click();
  await dialog.getByLabel("Share key of the node that may read it").fill("85".repeat(32));
  const saved = page.waitForEvent("download");
  await dialog.getByRole("button", { name: "Save the share" }).click();
  assert.equal((await saved).suggestedFilename(), "notes.txt.velas-share");
  assertQuiet();
});

test("a file that is dropped as by hand is stored, and its download is it", async (t) => {
  const { requester: { rest }, folder } = await startSwarm(t, 1);
  const { page, assertQuiet } = await openPage(t, `${rest}/#/files`);
  await page.getByText("No files yet").waitFor();
  const content = randomBytes(100_000);
  const path = join(folder, "dropped.bin");
  writeFileSync(path, content);
  const devtools = await page.context().newCDPSession(page);
  const { x, y, width, height } = (await page.locator(".drop").boundingBox())!;
  const at = { x: x + width / 2, y: y + Math.min(height / 2, 40) };
  const drag = (type: "dragEnter" | "dragOver" | "drop") =>
    devtools.send("Input.dispatchDragEvent", {
      type,
      ...at,
      data: { items: [], files: [path], dragOperationsMask: 1 },
    });
  await drag("dragEnter");
  await drag("dragOver");
  await page.locator(".drop.hovers").waitFor();
  await picture(page, "files-drag");
  await drag("drop");
  await page.locator(".upload.done").filter({ hasText: "dropped.bin" }).waitFor();
  assert.equal(await page.locator(".drop.hovers").count(), 0);
  await page.locator(".files").getByRole("link", { name: "dropped.bin" }).click();
  const dialog = page.getByRole("dialog").first();
  await dialog.locator(".output").filter({ hasText: content.subarray(0, 4).toString("hex").replace(/..\B/g, "$& ") })
    .waitFor();
  const saving = page.waitForEvent("download");
  await dialog.getByRole("link", { name: "Download" }).click();
  const saved = await saving;
  assert.equal(saved.suggestedFilename(), "dropped.bin");
  assert.ok(readFileSync(await saved.path()).equals(content));
  assertQuiet();
});

/** A second of a tone of 440 Hz. */
function tone(): Buffer {
  const rate = 8000;
  const wav = Buffer.alloc(44 + rate);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(36 + rate, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20); // PCM
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(rate, 24);
  wav.writeUInt32LE(rate, 28);
  wav.writeUInt16LE(1, 32);
  wav.writeUInt16LE(8, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(rate, 40);
  for (let i = 0; i < rate; i++) wav[44 + i] = 128 + Math.round(100 * Math.sin(2 * Math.PI * 440 * i / rate));
  return wav;
}

/** 3 x 2 pixels. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEUlEQVR4nGM4IScnB8YMcBYAPQQGGfjy0mgAAAAASUVORK5CYII=",
  "base64",
);

test("a picture is shown and sound plays, and what claims to be a picture and is none shows nothing and runs nothing", async (t) => {
  const { requester: { rest } } = await startSwarm(t, 2);
  const evil =
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>parent.document.title="owned"</script></svg>';
  for (
    const [name, type, content] of [
      ["dot.png", "image/png", PNG],
      ["tone.wav", "audio/wav", tone()],
      ["evil.svg", "image/svg+xml", evil],
    ] as const
  ) {
    const stored = await put(`${rest}/v1/files/${name}?policy=1%2B1`, {
      body: new Uint8Array(Buffer.from(content)),
      type,
    });
    assert.equal(stored.status, 201, await stored.text());
  }
  const { page, assertQuiet } = await openPage(t, `${rest}/#/files`);
  const dialog = page.getByRole("dialog").first();
  const open = async (name: string) => {
    await page.locator(".files").getByRole("link", { name }).click();
    await dialog.waitFor();
  };
  const sizeOf = async () => {
    await dialog.locator("img").waitFor();
    return await page.evaluate(`(async () => {
      const image = document.querySelector("dialog img");
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    })()`);
  };
  await open("dot.png");
  assert.deepEqual(await sizeOf(), [3, 2]);
  await picture(page, "file-picture");
  await page.keyboard.press("Escape");
  await open("evil.svg");
  assert.deepEqual(await sizeOf(), [9, 9], "drawn, as a picture only");
  assert.match(await page.title(), /^Files/);
  await page.keyboard.press("Escape");
  await open("tone.wav");
  await dialog.locator("audio").waitFor();
  const played = await page.evaluate(`(async () => {
    const audio = document.querySelector("audio");
    audio.muted = true;
    await audio.play();
    await new Promise((resolve, reject) => {
      audio.addEventListener("ended", resolve, { once: true });
      audio.addEventListener("error", () => reject(new Error(audio.error.message)), { once: true });
    });
    return audio.duration;
  })()`);
  assert.equal(played, 1);
  await picture(page, "file-sound");
  assertQuiet();
});
