/** What other users of a machine can see of the media plugin's token for a node, while FFmpeg reads one of that node's files. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { post, scratch, startNode } from "../e2e/harness.ts";
import { startMediaPlugin } from "../e2e/media-plugin.ts";
import { give, startKeeper } from "../plugins/media-keeper.ts";
import { test } from "../testing.ts";

const TOKEN = "the-token-of-this-test-which-nobody-may-see";

interface Process {
  readonly command: string;
  readonly environment: string;
}

/** The processes of this machine, as far as their environment can be read: ours. */
function processes(): Process[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const [command, environment] = ["cmdline", "environ"].map((file) => readFileSync(`/proc/${pid}/${file}`, "utf8"));
      return [{ command: command!, environment: environment! }];
    } catch {
      return []; // of another user, or gone
    }
  });
}

test("no process shows the node's token, nor any argument what reads the file, while FFmpeg runs", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "film.mp4");
  const picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4"];
  execFileSync("ffmpeg", ["-nostdin", "-loglevel", "error", ...picture, "-c:v", "libx264", path]);
  const seen: Process[][] = [];
  const film = readFileSync(path);
  const keeper = await startKeeper(t, (request, response) => {
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return void response.writeHead(401).end();
    if (request.method === "POST") return void request.resume().on("end", () => response.writeHead(201).end());
    // FFmpeg waits until this is answered.
    seen.push(processes());
    give(film, request, response);
  });
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 });
  const plugin = await startMediaPlugin(t, ["--node", keeper, "--token-file", tokenFile, "--prefix", "films/"]);
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { plugins: { external: [{ name: "media", address: plugin }] } },
  });
  for (const fn of ["probe", "thumbnail", "transcode", "hls"]) {
    seen.length = 0;
    const answer = await post(`${node.rest}/v1/tasks/run`, {
      plugin: "media",
      function: fn,
      contentType: "application/json",
      input: '{"file":"films/film.mp4"}',
    });
    assert.equal(answer.status, 200, `${fn}: ${answer.text}`);
    assert.ok(seen.length > 0, `${fn} reads the file`);
    for (const all of seen) {
      for (const { command, environment } of all) {
        assert.ok(!command.includes(TOKEN) && !environment.includes(TOKEN), `${fn}: ${command}`);
      }
      const readers = all.filter(({ command }) => command.includes("stored.invalid"));
      assert.ok(readers.length > 0, `${fn}: FFmpeg runs while the file is read`);
      for (const { command, environment } of readers) {
        assert.ok(!command.includes("films/film"), command);
        const [, password] = /(?:^|\0)http_proxy=http:\/\/task:([0-9a-f]{64})@127\.0\.0\.1:\d+\0/.exec(environment)!;
        for (const one of all) assert.ok(!one.command.includes(password!), `${fn}: ${one.command}`);
      }
    }
  }
});
