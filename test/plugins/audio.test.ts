import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { PluginCall, PluginEvent, RequesterId } from "../../src/core/mod.ts";
import { pluginFiles } from "../../src/plugins/mod.ts";
import { noise } from "../contract-suites/digits.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const SELF = "0x52908400098527886E0F7030069857D2E4169EE7" as RequesterId;
/** A second of a 440 Hz tone at 8 kHz each; see wasm-plugins/audio/testdata/make.sh. */
const media = (name: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(new URL(`../../wasm-plugins/audio/testdata/${name}`, import.meta.url)));

type Run = (fn: string, input: string | Uint8Array, parts?: Partial<PluginCall>) => Promise<Uint8Array>;

interface Opened {
  readonly run: Run;
  /** The parts of stored files that the plugin read. */
  readonly reads: { name: string; offset: number; length: number }[];
}

/** A host with the plugin, and with these files stored. */
async function open(t: TestScope, stored: readonly string[] = [], large?: Uint8Array): Promise<Opened> {
  const files = pluginFiles(new MemoryFiles(() => 1_767_225_600_000), SELF);
  const asker = { requester: SELF, plugin: "audio", granted: new Set<string>(), signal: new AbortController().signal };
  for (const name of stored) await files.write(name, media(name), asker);
  if (large !== undefined) await files.write("large.wav", large, asker);
  const reads: Opened["reads"] = [];
  const watched: typeof files = {
    size: (...parts) => files.size(...parts),
    write: (...parts) => files.write(...parts),
    read(part, who) {
      reads.push({ ...part });
      return files.read(part, who);
    },
  };
  const host = await openHost(t, {
    modules: ["audio/audio"],
    workers: 1,
    maxInputBytes: 64 << 20,
    grants: ["audio:files.read"],
    files: () => watched,
  });
  const run: Run = async (fn, input, parts = {}) =>
    (await host.execute(pluginCall(fn, input, { plugin: "audio", requester: SELF, ...parts }))).output;
  return { run, reads };
}

interface Wav {
  readonly rate: number;
  readonly channels: number;
  /** The first channel. */
  readonly samples: Int16Array;
}

/** Reads a WAV of 16 bits whose header has 44 bytes, and checks what the header says. */
function readWav(bytes: Uint8Array): Wav {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.equal(text(bytes.subarray(0, 4)) + text(bytes.subarray(8, 16)), "RIFFWAVEfmt ");
  assert.equal(view.getUint32(4, true), bytes.length - 8);
  assert.equal(view.getUint32(40, true), bytes.length - 44);
  assert.equal(view.getUint16(20, true), 1);
  assert.equal(view.getUint16(34, true), 16);
  const channels = view.getUint16(22, true);
  const count = (bytes.length - 44) / 2 / channels;
  const samples = Int16Array.from({ length: count }, (_, i) => view.getInt16(44 + i * 2 * channels, true));
  return { rate: view.getUint32(24, true), channels, samples };
}

/** How much of the sound is at a frequency, 0 to 1: its correlation with sine and cosine. */
function shareAt(frequency: number, { rate, samples }: Wav): number {
  let [sine, cosine, power] = [0, 0, 0];
  for (const [i, sample] of samples.entries()) {
    const angle = 2 * Math.PI * frequency * i / rate;
    sine += sample * Math.sin(angle);
    cosine += sample * Math.cos(angle);
    power += sample * sample;
  }
  return 2 * (sine * sine + cosine * cosine) / (samples.length * power);
}

const PROBED: readonly (readonly [file: string, container: string, codecs: readonly string[], seconds: number])[] = [
  ["tone.wav", "wave", ["pcm_s16le"], 1],
  ["tone.aiff", "aiff", ["pcm_s16be"], 1],
  ["tone.mp3", "mp3", ["mp3"], 1],
  ["tone.flac", "flac", ["flac"], 1],
  ["tone.ogg", "ogg", ["vorbis"], 1],
  ["tone.opus", "ogg", ["opus"], 1],
  ["clip.mp4", "isomp4", ["h264", "aac"], 1],
  ["clip.webm", "matroska", ["vp8", "vorbis"], 1],
  ["silent.mp4", "isomp4", ["h264"], 1],
];

test("probe() tells container, codecs and duration of each kind of file", async (t) => {
  const { run } = await open(t);
  for (const [file, container, codecs, seconds] of PROBED) {
    const probed = JSON.parse(text(await run("probe", media(file))));
    assert.equal(probed.container, container, file);
    assert.deepEqual(probed.tracks.map(({ codec }: { codec: string }) => codec), codecs, file);
    assert(Math.abs(probed.durationSeconds - seconds) < 0.2, `${file}: ${probed.durationSeconds} s`);
    for (const { kind, sampleRate, channels, width, height, codec, decodable } of probed.tracks) {
      if (kind === "audio") {
        assert.equal(sampleRate, codec === "opus" ? 48_000 : 8000, file);
        assert.equal(channels, file === "tone.ogg" ? 2 : 1, file);
        assert.equal(decodable, codec !== "opus", file);
      } else assert.deepEqual([kind, width, height, decodable], ["video", 64, 48, false], file);
    }
  }
  const { tags } = JSON.parse(text(await run("probe", media("tone.mp3"))));
  assert.deepEqual([tags.title, tags.artist], ["A tone", "ffmpeg"]);
});

test("decode() gives the tone that was encoded", async (t) => {
  const { run } = await open(t);
  const original = readWav(media("tone.wav").slice(0));
  for (const file of ["tone.wav", "tone.aiff", "tone.flac"]) {
    assert.deepEqual(readWav(await run("decode", media(file))), original, file);
  }
  for (const file of ["tone.mp3", "tone.ogg", "clip.mp4", "clip.webm"]) {
    const wav = readWav(await run("decode", media(file)));
    assert.equal(wav.rate, 8000, file);
    assert(Math.abs(wav.samples.length - 8000) <= 2400, `${file}: ${wav.samples.length} samples`);
    const middle = { ...wav, samples: wav.samples.subarray(2000, 6000) };
    assert(shareAt(440, middle) > 0.95, `${file}: ${shareAt(440, middle)} of it is the tone`);
    assert(shareAt(1000, middle) < 0.05, file);
  }
});

test("decode() streams its output in pieces, the header first", async (t) => {
  const { run } = await open(t);
  const chunks: Uint8Array[] = [];
  const onEvent = (event: PluginEvent) => void (event.type === "chunk" && chunks.push(event.bytes.slice()));
  await run("decode", media("tone.flac"), { streamOutput: true, onEvent });
  assert.deepEqual(new Uint8Array(Buffer.concat(chunks)), new Uint8Array(await run("decode", media("tone.flac"))));
});

test("stored files are read range by range, and decoded in part", async (t) => {
  const stored = ["tone.wav", "tone.flac", "tone.mp3", "clip.mp4"];
  const { run, reads } = await open(t, stored);
  for (const file of stored) {
    const byName = await run("probe", JSON.stringify({ file }));
    assert.deepEqual(JSON.parse(text(byName)), JSON.parse(text(await run("probe", media(file)))), file);
    assert.deepEqual(await run("decode", JSON.stringify({ file })), await run("decode", media(file)), file);
  }
  const { samples } = readWav(media("tone.wav"));
  reads.length = 0;
  const part = readWav(await run("decode", JSON.stringify({ file: "tone.wav", from: 0.5, seconds: 0.25 })));
  assert.deepEqual(part.samples, samples.subarray(4000, 6000));
  assert(reads.length > 0 && reads.every(({ name }) => name === "tone.wav"));
  const flac = readWav(await run("decode", JSON.stringify({ file: "tone.flac", from: 0.7 })));
  assert.deepEqual(flac.samples, samples.subarray(5600));
  for (const request of [{ file: "none.wav" }, { file: "tone.wav", from: 7 }]) {
    await assert.rejects(run("decode", JSON.stringify(request)), hasCode("plugin_failed"));
  }
  const other = { requester: "0x00000000000000000000000000000000000000aA" as RequesterId };
  await assert.rejects(run("probe", JSON.stringify({ file: "tone.wav" }), other), hasCode("permission_denied"));
});

test("waveform() gives the lowest and highest sample of each stretch", async (t) => {
  const { run } = await open(t, ["tone.wav"]);
  const { samples } = readWav(media("tone.wav"));
  const expected = (framesPerPeak: number, of: Int16Array) =>
    Array.from({ length: Math.ceil(of.length / framesPerPeak) }, (_, i) => {
      const stretch = of.subarray(i * framesPerPeak, (i + 1) * framesPerPeak);
      return [Math.min(...stretch), Math.max(...stretch)];
    });
  for (const file of ["tone.wav", "tone.flac"]) {
    const { peaks, ...rest } = JSON.parse(text(await run("waveform", media(file))));
    assert.deepEqual(rest, { sampleRate: 8000, channels: 1, frames: 8000, durationSeconds: 1, framesPerPeak: 10 });
    assert.deepEqual(peaks, expected(10, samples), file);
  }
  for (
    const [request, framesPerPeak, of] of [
      [{ peaks: 7 }, 1143, samples],
      [{ peaks: 1 }, 8000, samples],
      [{ peaks: 8192 }, 1, samples],
      [{ peaks: 10, from: 0.5, seconds: 0.25 }, 200, samples.subarray(4000, 6000)],
    ] as const
  ) {
    const behind = Buffer.concat([Buffer.from(JSON.stringify(request) + "\n"), media("tone.wav")]);
    const drawn = JSON.parse(text(await run("waveform", behind)));
    assert.equal(drawn.framesPerPeak, framesPerPeak);
    assert.deepEqual(drawn.peaks, expected(framesPerPeak, of));
    const stored = await run("waveform", JSON.stringify({ file: "tone.wav", ...request }));
    assert.deepEqual(JSON.parse(text(stored)), drawn);
  }
  for (const file of ["tone.mp3", "tone.ogg", "clip.mp4", "clip.webm"]) {
    const { peaks } = JSON.parse(
      text(await run("waveform", Buffer.concat([Buffer.from('{"peaks":20}'), media(file)]))),
    );
    assert(peaks.length > 10 && peaks.length <= 20, `${file}: ${peaks.length} peaks`);
    const [lowest, highest] = peaks[5];
    assert(lowest < -2000 && highest > 2000, `${file}: ${lowest} to ${highest}`);
  }
});

/** Ten minutes of WAV, 9.6 MB: a saw tooth. */
function largeWav(): Uint8Array {
  const bytes = Buffer.alloc(44 + 600 * 16_000);
  bytes.set(media("tone.wav").subarray(0, 44));
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.writeUInt32LE(bytes.length - 44, 40);
  for (let at = 44; at < bytes.length; at += 2) bytes.writeInt16LE((at & 0xffff) - 0x8000, at);
  return bytes;
}

test("a large stored file is not read whole for what is at one place of it", async (t) => {
  const { run, reads } = await open(t, [], largeWav());
  const bytesRead = () => reads.splice(0).reduce((sum, { length }) => sum + length, 0);
  const probed = JSON.parse(text(await run("probe", '{"file":"large.wav"}')));
  assert.equal(probed.durationSeconds, 600);
  const forProbe = bytesRead();
  const part = readWav(await run("decode", '{"file":"large.wav","from":300,"seconds":1}'));
  const begin = 44 + 300 * 16_000;
  assert.deepEqual([part.samples.length, part.samples[0]], [8000, (begin & 0xffff) - 0x8000]);
  const forPart = bytesRead();
  console.log(`of 9.6 MB, probe read ${forProbe} bytes, a second in the middle ${forPart}`);
  assert(forProbe <= 1 << 20 && forPart <= 2 << 20, `${forProbe} and ${forPart} bytes`);
});

test("a file that was cut off is refused with what is left of it, unless that is wanted", async (t) => {
  const { run } = await open(t);
  const cut = (file: string, share: number) => media(file).subarray(0, Math.floor(media(file).length * share));
  for (const [file] of PROBED) {
    await assert.rejects(run("decode", cut(file, 0.6)), hasCode("plugin_failed"), file);
  }
  for (const [file, share] of [["tone.wav", 0.5], ["tone.mp3", 0.6], ["tone.flac", 0.9]] as const) {
    const left = cut(file, share);
    for (const fn of ["decode", "waveform"]) {
      const message = /^The file is damaged or cut off: 0\.[3-7]\d of 1\.\d\d seconds .* "partial": true takes them$/;
      await assert.rejects(run(fn, left), hasCode("plugin_failed", message), file);
    }
    const wav = readWav(await run("decode", Buffer.concat([Buffer.from('{"partial":true}\n'), left])));
    assert(wav.samples.length > 2000 && wav.samples.length < 6500, `${file}: ${wav.samples.length}`);
    // What lies before the cut can be asked for as it is.
    const part = readWav(await run("decode", Buffer.concat([Buffer.from('{"seconds":0.25}\n'), left])));
    assert.equal(part.samples.length, 2000, file);
  }
  await assert.rejects(run("probe", cut("tone.ogg", 0.6)), hasCode("plugin_failed", /^The file is cut off, or/));
});

test("what is no media, has no sound or cannot be decoded is refused and named", async (t) => {
  const { run } = await open(t);
  const fails = (fn: string, input: string | Uint8Array, message: RegExp) =>
    assert.rejects(run(fn, input), hasCode("plugin_failed", message));
  await fails("probe", "", /^There is no media file: the input is empty$/);
  await fails("probe", "just some words that are no media file", /^This is no media file that the plugin knows: /);
  await fails("decode", media("silent.mp4"), /^There is no sound in the file$/);
  await fails("decode", media("tone.opus"), /^The sound is opus, which this plugin does not decode/);
  await fails("probe", '{"file":7}', /^The input is no JSON that this plugin knows: /);
  await fails("probe", '{"name":"a"}', /unknown field `name`/);
  await fails("probe", '{"file":"a","from":1}', /^probe takes no "from"/);
  await fails("decode", '{"file":"a","peaks":1}', /^decode takes no "peaks"/);
  await fails("decode", '{"from":0.5}', /^There is no media file: name one in "file"/);
  await fails("decode", '{"file":"a"} more', /^The input names a stored file, and has media behind it too/);
  for (const peaks of [0, 8193]) await fails("waveform", `{"file":"a","peaks":${peaks}}`, /from 1 to 8192$/);
  for (const part of ['"from":-1', '"from":1e10', '"seconds":0', '"seconds":-1']) {
    await fails("decode", `{"file":"a",${part}}`, /has to be a number/);
  }
  await assert.rejects(
    run("probe", new Uint8Array((32 << 20) + 1), { limits: limits({ memoryBytes: 128 << 20 }) }),
    hasCode("plugin_failed", /^The input of 33554433 bytes is too large/),
  );
});

test("noise and damaged files end with an error or with sound, within their budget, and the plugin goes on", async (t) => {
  const { run } = await open(t);
  const bounds = { limits: limits({ instructions: 2e9 }) };
  const allowed = hasCodeOf("plugin_failed", "plugin_trapped", "budget_exceeded", "memory_exceeded");
  const inputs = [64, 1000, 20_000].map((size) => noise(`media ${size}`, size));
  for (const [file] of PROBED) {
    const bytes = media(file);
    inputs.push(bytes.subarray(0, bytes.length >> 1));
    const damaged = bytes.slice();
    const random = noise(file, 64);
    for (let i = 0; i < 32; i++) damaged[(random[i * 2]! * 256 + random[i * 2 + 1]!) % damaged.length] = random[i]!;
    inputs.push(damaged);
  }
  let [ended, failed] = [0, 0];
  for (const fn of ["probe", "decode"]) {
    for (const input of inputs) {
      await run(fn, input, bounds).then(() => ended++, (error) => allowed(error) && failed++);
    }
  }
  console.log(`${ended} calls ended well, ${failed} with an error`);
  assert.equal(readWav(await run("decode", media("tone.flac"))).samples.length, 8000);
});

/** Matches an error that has one of the codes. */
function hasCodeOf(...codes: string[]): (error: unknown) => boolean {
  return (error) => {
    assert(codes.some((code) => (error as { code?: string }).code === code), String(error));
    return true;
  };
}
