/** Plugins that read files which six providers hold in pieces: a model, and media that is not fetched whole. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HELD_OUT, HELD_OUT_PIXELS, modelFile } from "../contract-suites/digits.ts";
import { wasm } from "../plugins/host-fixture.ts";
import { test, type TestScope } from "../testing.ts";
import { type NodeProcess, post, scratch, startNode } from "./harness.ts";

const MIB = 1 << 20;

interface Swarm {
  readonly owner: NodeProcess;
  readonly providers: readonly NodeProcess[];
}

const PLUGINS = ["digits", "audio"];

/** Six providers, and a node whose plugins may read its owner's files. */
async function start(t: TestScope): Promise<Swarm> {
  const folder = scratch(t);
  const providers = await Promise.all(
    Array.from({ length: 6 }, (_, i) => startNode(t, { dataDir: join(folder, `provider-${i + 1}`) })),
  );
  const owner = await startNode(t, {
    dataDir: join(folder, "owner"),
    config: {
      requester: { providers: providers.map(({ rpc }) => rpc) },
      plugins: { grants: PLUGINS.map((name) => `${name}:files.read`) },
    },
  });
  for (const plugin of PLUGINS) {
    const installed = await fetch(`${owner.rest}/v1/plugins`, {
      method: "POST",
      headers: { "content-type": "application/wasm" },
      body: wasm(`${plugin}/${plugin}`) as BodyInit,
    });
    assert.equal(installed.status, 201, await installed.text());
  }
  return { owner, providers };
}

async function put({ owner: { rest } }: Swarm, name: string, bytes: Uint8Array): Promise<void> {
  const answer = await fetch(`${rest}/v1/files/${name}`, { method: "PUT", body: bytes as BodyInit });
  assert.equal(answer.status, 201, await answer.text());
}

/** Runs a function in a task of the node itself, and returns its output. */
async function own<T>({ owner }: Swarm, plugin: string, fn: string, input: object): Promise<T> {
  const task = { plugin, function: fn, input: JSON.stringify(input) };
  const { status, text } = await post(`${owner.rest}/v1/tasks/run`, task);
  assert.equal(status, 200, text);
  return JSON.parse((JSON.parse(text) as { output: string }).output) as T;
}

/** Bytes of shards that the providers have given so far. */
async function given({ providers }: Swarm): Promise<number> {
  const all = await Promise.all(providers.map(async ({ rest }) => await (await fetch(`${rest}/metrics`)).text()));
  return all.reduce((sum, text) => {
    const line = /^velas_shard_bytes_total\{direction="out"\} (\d+)$/m.exec(text);
    return sum + Number(line?.[1] ?? 0);
  }, 0);
}

/** An MP4 that begins with its index, with so many bytes of media more than the index names. */
function longClip(extraBytes: number): Uint8Array {
  const clip = readFileSync(new URL("../../wasm-plugins/audio/testdata/clip.mp4", import.meta.url));
  const at = clip.indexOf("mdat") - 4;
  assert(at > clip.indexOf("moov") && at + clip.readUInt32BE(at) === clip.length);
  clip.writeUInt32BE(clip.readUInt32BE(at) + extraBytes, at);
  return Buffer.concat([clip, Buffer.alloc(extraBytes, 0x5a)]);
}

test("a model on six providers classifies images, and media there is probed from a small part of it", async (t) => {
  const swarm = await start(t);
  const model = modelFile("odd-even.onnx");
  await put(swarm, "odd-even.onnx", model);
  assert.equal(await given(swarm), 0);
  const pixels = HELD_OUT_PIXELS.subarray(0, 64 * 100);
  const { classes } = await own<{ classes: number[] }>(swarm, "digits", "classify", {
    images: Buffer.from(pixels).toString("base64"),
    model: "odd-even.onnx",
  });
  const digits = Array.from({ length: 100 }, (_, i) => HELD_OUT[i * 65 + 64]!);
  const right = digits.filter((digit, i) => classes[i] === digit % 2).length;
  assert(right >= 90, `${right} of 100`);
  const forModel = await given(swarm);
  assert(forModel >= model.length, String(forModel));

  const clip = longClip(32 * MIB);
  await put(swarm, "clip.mp4", clip);
  const { tracks } = await own<{ tracks: { kind: string; codec: string }[] }>(swarm, "audio", "probe", {
    file: "clip.mp4",
  });
  assert.deepEqual(tracks.map(({ kind, codec }) => [kind, codec]).sort(), [["audio", "aac"], ["video", "h264"]]);
  const forProbe = await given(swarm) - forModel;
  console.log(`of ${clip.length} bytes of media the providers gave ${forProbe}`);
  assert(forProbe > 0 && forProbe < 2 * MIB, String(forProbe));
});
