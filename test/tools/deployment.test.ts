/** What operators start the node by: images, compose file, systemd unit, `deno compile`. Docker itself is not run in tests. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { loadConfig } from "../../src/config/mod.ts";
import { ASSETS, WORKERS } from "../../tools/assets.ts";
import { compileArgs } from "../../tools/compile-deno.ts";
import { parseOnly } from "../cli/parse-only.ts";
import { test } from "../testing.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
/** A list of words as Dockerfiles and compose files write it. */
const words = (json: string) => JSON.parse(json) as string[];
const dockerfile = read("Dockerfile").replaceAll("\\\n", " ");

function isInstalled(tool: string): boolean {
  return spawnSync(tool, ["--version"]).error === undefined;
}

test("the images start commands that exist, and check their health by one", async () => {
  const lines = [...dockerfile.matchAll(/^(?:ENTRYPOINT|HEALTHCHECK.* CMD) (\[.*\])$/gm)].map(([, json]) =>
    words(json!)
  );
  assert.equal(lines.length, 4);
  for (const [program, ...rest] of lines) {
    assert.equal(program, "/usr/local/bin/velas-sphere");
    await parseOnly(rest, rest.join(" "));
  }
});

test("the image is built from files that are there", () => {
  for (const [, sources] of dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)) {
    for (const source of sources!.split(" ")) assert.ok(existsSync(join(root, source)), source);
  }
  assert.ok(existsSync(join(root, dockerfile.match(/node (tools\/[^ ]+\.ts)/)![1]!)));
});

test("the services of docker-compose.yaml start with flags and files that a node takes", async (t) => {
  const compose = read("docker-compose.yaml");
  const commands = [...compose.matchAll(/^ {4}command: (\[.*\])$/gm)].map(([, json]) => words(json!));
  assert.equal(commands.length, 2);
  const targets = new Set([...compose.matchAll(/target: (\S+) /g)].map(([, target]) => target));
  for (const target of targets) assert.match(dockerfile, new RegExp(`^FROM base AS ${target}$`, "m"));
  const folder = mkdtempSync(join(tmpdir(), "velas-deploy-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  copyFileSync(join(root, "docker/provider.json"), join(folder, "config.json"));
  for (const command of commands) {
    await parseOnly(["node", ...command], command.join(" "));
    const flags: Record<string, string | boolean> = {};
    for (let at = 0; at < command.length; at++) {
      const flag = command[at]!;
      const next = command[at + 1];
      const key = { "--rpc-listen": "rpc.listen", "--rest-listen": "rest.listen", "--node-name": "node.name" }[flag];
      if (key === undefined) flags[flag.replace("--", "node.")] = true;
      else flags[key] = next!, at++;
    }
    const env = { VELAS_SPHERE_REST_TOKEN: "0123456789abcdef" };
    const { config } = loadConfig({ flags, env, cwd: folder, homeDir: folder });
    assert.equal(config.node.insecure, true);
  }
});

if (isInstalled("systemd-analyze")) {
  test("systemd takes the unit", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "velas-deploy-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const unit = join(folder, "velas-sphere.service");
    writeFileSync(
      unit,
      read("docs/systemd/velas-sphere.service").replaceAll("/usr/local/bin/velas-sphere", "/bin/true"),
    );
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, /velas-sphere/);
  });
}

test("the executable of `deno task compile` holds every file that the program reads", () => {
  const args = compileArgs();
  for (const file of [...ASSETS, ...WORKERS]) {
    assert.equal(args[args.indexOf(file) - 1], "--include", file);
    assert.ok(existsSync(join(root, file)), file);
  }
});

if (isInstalled("man")) {
  test("man reads the page without a complaint", () => {
    const page = join(root, "docs/man/velas-sphere.1");
    const env = { ...process.env, MANROFFSEQ: "", MANWIDTH: "80", LC_ALL: "C.UTF-8" };
    const { stdout, stderr } = spawnSync("man", ["--warnings", "-l", page], { encoding: "utf8", env });
    assert.match(stdout, /NAME/);
    assert.equal(stderr, "");
  });
}
