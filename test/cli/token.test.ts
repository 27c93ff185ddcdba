import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTokenEntries } from "../../src/config/mod.ts";
import { tokenDigest } from "../../src/core/mod.ts";
import { runHere } from "./harness.ts";
import { test, type TestScope } from "../testing.ts";

function scratch(t: TestScope): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-token-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const digestOf = (token: string) => Buffer.from(tokenDigest(token)).toString("hex");

test("token new shows the token alone on standard output, and its entry beside", async (t) => {
  const options = { cwd: scratch(t) };
  const args = ["token", "new", "--name", "ci", "--scope", "tasks", "--scope", "read", "--scope", "tasks"];
  const { code, stdout, stderr } = await runHere(args, options);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^velas_[A-Za-z0-9_-]{43}\n$/);
  const entry = JSON.parse(stderr.slice(stderr.indexOf("{")));
  assert.deepEqual(entry, { name: "ci", sha256: digestOf(stdout.trim()), scopes: ["tasks", "read"] });
  assert.ok(!stderr.includes(stdout.trim()));
  assert.notEqual((await runHere(args, options)).stdout, stdout);
});

test("token new --file makes the file for its owner, adds to it, and refuses a name that is taken", async (t) => {
  const cwd = scratch(t);
  const make = (...args: string[]) => runHere(["token", "new", "--file", "tokens.json", "--json", ...args], { cwd });
  const first = JSON.parse((await make("--name", "ci", "--scope", "tasks")).stdout);
  const path = join(cwd, "tokens.json");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  chmodSync(path, 0o640);
  const before = Date.now();
  const second = JSON.parse((await make("--name", "b", "--scope", "files", "--expires", "2d")).stdout);
  assert.equal(statSync(path).mode & 0o777, 0o640);
  const entries = readTokenEntries(path);
  assert.deepEqual(entries, [first.entry, second.entry]);
  assert.equal(entries[1]!.sha256, digestOf(second.token));
  const days = (Date.parse(entries[1]!.expiresAt!) - before) / 86_400_000;
  assert.ok(days >= 2 && days < 2.01, String(days));
  const text = readFileSync(path, "utf8");
  assert.ok(!text.includes(first.token) && !text.includes(second.token));

  const taken = await make("--name", "ci", "--scope", "read");
  assert.equal(taken.code, 2);
  assert.match(taken.stderr, /has a token \\?"ci\\?"/);
  assert.equal(readFileSync(path, "utf8"), text);
  assert.deepEqual(readdirSync(cwd), ["tokens.json"]);
});

test("token new says what is wrong with its options", async () => {
  const refused = async (message: RegExp, ...args: string[]) => {
    const { code, stdout, stderr } = await runHere(["token", "new", ...args]);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, message);
  };
  await refused(/--name/, "--scope", "read");
  await refused(/--scope/, "--name", "ci");
  await refused(/one of read, tasks, files, payments, plugins, admin/, "--name", "ci", "--scope", "all");
  await refused(/not rest\.token/, "--name", "rest.token", "--scope", "read");
  await refused(/duration/, "--name", "ci", "--scope", "read", "--expires", "soon");
});
