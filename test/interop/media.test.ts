import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandLine, type NodeProcess, post, run, scratch, startNode } from "../e2e/harness.ts";
import { startMediaPlugin } from "../e2e/media-plugin.ts";
import { startSwarm } from "../e2e/swarm.ts";
import { test } from "../testing.ts";

/** Seconds, eight by default, of test picture and tone; with its index at the end, as cameras write it, or where `args` want it. */
function clip(folder: string, name: string, args: readonly string[] = [], seconds = 8): string {
  const path = join(folder, name);
  const source = ["-f", "lavfi", "-i", `testsrc2=size=640x360:rate=25:duration=${seconds}`];
  const tone = ["-f", "lavfi", "-i", `sine=frequency=440:duration=${seconds}`];
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"];
  execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", ...source, ...tone, ...codecs, ...args, path]);
  return path;
}

interface Described {
  readonly format: { readonly duration: string; readonly format_name: string };
  readonly streams: readonly { readonly codec_name: string; readonly height?: number }[];
}

function describe(path: string): Described {
  const args = ["-loglevel", "error", "-show_format", "-show_streams", "-of", "json", path];
  return JSON.parse(execFileSync("ffprobe", args).toString());
}

/** Runs a function of the plugin on a node by the CLI, as its users do; the output is a file. */
async function media(node: NodeProcess, fn: string, options: { file: string; type: string; out: string }) {
  const ended = await run([
    ...["task", "run", "media", fn, "--url", node.rest, "--content-type", options.type, "--max-output", "64MiB"],
    ...["--input-file", options.file, "--output-file", options.out, "--timeout", "60s"],
  ]);
  assert.equal(ended.code, 0, ended.stderr);
  return readFileSync(options.out);
}

test("a task's video is described, cut and converted, whether or not its index comes first", async (t) => {
  const folder = scratch(t);
  const plugin = await startMediaPlugin(t);
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  const out = join(folder, "out");
  for (
    const path of [
      clip(folder, "late.mp4"),
      clip(folder, "early.mp4", ["-movflags", "faststart"]),
      clip(folder, "a.mkv"),
    ]
  ) {
    const described: Described = JSON.parse(
      (await media(node, "probe", { file: path, type: "video/mp4", out })).toString(),
    );
    assert.deepEqual(described.streams.map(({ codec_name }) => codec_name), ["h264", "aac"]);
    assert.equal("filename" in described.format, false);

    const picture = await media(node, "thumbnail", { file: path, type: "video/mp4; at=3; width=160", out });
    assert.deepEqual([...picture.subarray(0, 3)], [0xff, 0xd8, 0xff]);

    await media(node, "transcode", { file: path, type: "video/mp4; height=180; duration=4", out });
    const { format, streams } = describe(out);
    assert.ok(Math.abs(Number(format.duration) - 4) < 0.3, format.duration);
    assert.equal(streams.find(({ codec_name }) => codec_name === "h264")?.height, 180);

    await media(node, "extract-audio", { file: path, type: "video/mp4", out });
    assert.deepEqual(describe(out).streams.map(({ codec_name }) => codec_name), ["aac"]);
  }
});

test("a long conversion tells how far it is", async (t) => {
  const folder = scratch(t);
  const plugin = await startMediaPlugin(t);
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  const input = clip(folder, "film.mp4", ["-movflags", "faststart"], 30);
  const flags = [
    "--url",
    node.rest,
    "--input-file",
    input,
    "--content-type",
    "video/mp4; height=480",
    "--timeout",
    "2m",
  ];
  const command = ["task", "run", "media", "transcode", ...flags, "--max-output", "64MiB", "--watch", "--json"];
  const watched = await run(command);
  assert.equal(watched.code, 0, watched.stderr);
  // How long a stream will be is not known, so that it tells seconds and no fraction.
  const events = watched.stdout.trim().split("\n").map((line) =>
    JSON.parse(line) as { event: string; message?: string }
  );
  const seconds = events.flatMap(({ event, message }) => event === "progress" ? [Number.parseFloat(message!)] : []);
  assert.ok(new Set(seconds).size >= 2, watched.stdout);
  assert.deepEqual(seconds, [...seconds].sort((a, b) => a - b), "it never goes back");
});

test("the README's pipe of a source that is made as it goes runs through the plugin", async (t) => {
  const folder = scratch(t);
  const plugin = await startMediaPlugin(t);
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  const readme = readFileSync(new URL("../../grpc-plugins/media/README.md", import.meta.url), "utf8");
  const [, source, flags] =
    /(ffmpeg -f lavfi [^\n]*) -f matroska - \|\n {2}velas-sphere (task run media .*) > test\.mp4/.exec(readme)!;
  const [command, before] = commandLine([]);
  const quoted = [command, ...before].map((word) => `'${word}'`).join(" ");
  const line = `${source} -nostdin -loglevel error -f matroska - | ${quoted} ${flags} --url ${node.rest} > test.mp4`;
  execFileSync("bash", ["-o", "pipefail", "-c", line], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const { format, streams } = describe(join(folder, "test.mp4"));
  assert.ok(Math.abs(Number(format.duration) - 10) < 0.5, format.duration);
  assert.deepEqual(streams.map(({ codec_name }) => codec_name), ["h264"]);
});

test("noise, playlists that name other files, empty and wrong input fail with words, and the plugin goes on", async (t) => {
  const folder = scratch(t);
  const plugin = await startMediaPlugin(t);
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  const ask = (fn: string, input: string | Uint8Array, type: string) =>
    post(`${node.rest}/v1/tasks/run`, {
      plugin: "media",
      function: fn,
      contentType: type,
      inputBase64: Buffer.from(input).toString("base64"),
    });
  const noise = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919 + (i >> 3)) & 0xff));
  const playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
  for (const fn of ["probe", "thumbnail", "transcode", "extract-audio"]) {
    for (
      const [input, type] of [[noise, "video/mp4"], [playlist, "application/x-mpegurl"], [
        "concat:/etc/passwd",
        "",
      ]] as const
    ) {
      const answer = await ask(fn, input, type);
      assert.equal(answer.status, 422, `${fn} ${type}: ${answer.text}`);
      assert.match(answer.text, /plugin_failed/);
      assert.doesNotMatch(answer.text, /root:/);
    }
    const empty = await ask(fn, "", "video/mp4");
    assert.match(empty.text, /input is empty/, empty.text);
  }
  assert.match((await ask("transcode", noise, "video/mp4; height=9")).text, /height/);
  assert.match((await ask("probe", '{"file":"a.mp4"}', "application/json")).text, /no files: start it with --node/);
  const path = clip(folder, "sound.mp4", ["-vn"]);
  assert.match((await ask("thumbnail", readFileSync(path), "video/mp4")).text, /plugin_failed|no picture/);
  assert.match((await ask("probe", readFileSync(path), "audio/mp4")).text, /aac/);
});

test("files that lie sealed on six nodes are read where FFmpeg looks, and an HLS ladder of them plays", async (t) => {
  const { requester, providers, folder } = await startSwarm(t);
  const plugin = await startMediaPlugin(t, ["--node", requester.rest, "--prefix", "films/"]);
  const node = await startNode(t, {
    dataDir: join(folder, "runner"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  const path = clip(folder, "film.mp4");
  for (const name of ["films/film.mp4", "private.mp4"]) {
    const stored = await fetch(`${requester.rest}/v1/files/${name}`, { method: "PUT", body: readFileSync(path) });
    assert.equal(stored.status, 201, await stored.text());
  }
  const ask = async (fn: string, request: unknown, out: string) => {
    const input = join(folder, "request.json");
    writeFileSync(input, JSON.stringify(request));
    return await media(node, fn, { file: input, type: "application/json", out });
  };
  const out = join(folder, "out");
  const described: Described = JSON.parse((await ask("probe", { file: "films/film.mp4" }, out)).toString());
  assert.equal(described.streams.length, 2);
  await ask("transcode", { file: "films/film.mp4", at: 6, height: 90 }, out);
  assert.ok(Math.abs(Number(describe(out).format.duration) - 2) < 0.3);

  const refused = await post(`${node.rest}/v1/tasks/run`, {
    plugin: "media",
    function: "probe",
    contentType: "application/json",
    input: '{"file":"private.mp4"}',
  });
  assert.match(refused.text, /may touch files that begin with/, refused.text);

  const ladder = JSON.parse((await ask("hls", { file: "films/film.mp4", heights: [180, 360] }, out)).toString());
  assert.equal(ladder.master, "films/film/master.m3u8");
  // Two of six nodes may go, and it plays on.
  await Promise.all(providers.slice(0, 2).map((provider) => provider.stop("SIGKILL")));
  const { format, streams } = describe(`${requester.rest}/v1/files/${ladder.master}`);
  assert.match(format.format_name, /hls/);
  assert.deepEqual(streams.filter(({ codec_name }) => codec_name === "h264").map(({ height }) => height), [180, 360]);
  const args = [
    "-nostdin",
    "-loglevel",
    "error",
    "-ss",
    "5",
    "-i",
    `${requester.rest}/v1/files/${ladder.variants[1].playlist}`,
  ];
  execFileSync("ffmpeg", [...args, "-frames:v", "1", "-y", join(folder, "frame.png")]);
  assert.deepEqual([...readFileSync(join(folder, "frame.png")).subarray(1, 4)], [...Buffer.from("PNG")]);
});

/** Bytes of shards that the providers have given so far, once no read is under way any more. */
async function given(providers: readonly NodeProcess[]): Promise<number> {
  const sum = async () => {
    const all = await Promise.all(providers.map(async ({ rest }) => await (await fetch(`${rest}/metrics`)).text()));
    return all.reduce((bytes, text) => {
      const line = /^velas_shard_bytes_total\{direction="out"\} (\d+)$/m.exec(text);
      return bytes + Number(line?.[1] ?? 0);
    }, 0);
  };
  for (let before = -1;;) {
    const now = await sum();
    if (now === before) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

test("a large film on six nodes is described and pictured from a small part of it, wherever its index is", async (t) => {
  const { requester, providers, folder } = await startSwarm(t);
  const plugin = await startMediaPlugin(t, ["--node", requester.rest, "--prefix", "films/"]);
  const node = await startNode(t, {
    dataDir: join(folder, "runner"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  // Noise makes some 5 MB a second of it.
  const early = clip(folder, "early.mp4", ["-vf", "noise=alls=40:allf=t", "-qp", "18", "-movflags", "faststart"], 20);
  const late = join(folder, "late.mp4");
  execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", "-i", early, "-c", "copy", late]);
  for (const [name, path] of [["early", early], ["late", late]] as const) {
    const film = readFileSync(path);
    assert.equal(film.indexOf("moov") < film.indexOf("mdat"), name === "early");
    const stored = await fetch(`${requester.rest}/v1/files/films/${name}.mp4`, { method: "PUT", body: film });
    assert.equal(stored.status, 201, await stored.text());
    const input = join(folder, "request.json");
    const out = join(folder, "out");
    // Each place that FFmpeg looks at costs what lies on the way to it when it has seen enough: some 8 MB, whatever the film's length.
    for (const [fn, more, part] of [["probe", {}, 1 / 8], ["thumbnail", { at: 15, width: 160 }, 1 / 4]] as const) {
      writeFileSync(input, JSON.stringify({ file: `films/${name}.mp4`, ...more }));
      const before = await given(providers);
      const answer = await media(node, fn, { file: input, type: "application/json", out });
      if (fn === "probe") assert.equal((JSON.parse(answer.toString()) as Described).streams.length, 2);
      else assert.deepEqual([...answer.subarray(0, 3)], [0xff, 0xd8, 0xff]);
      const read = await given(providers) - before;
      console.log(`${fn} of ${film.length} bytes with its index ${name}: the providers gave ${read}`);
      assert.ok(read > 0 && read < film.length * part, `${read} of ${film.length}`);
    }
  }
});
