import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { run, scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";

const execute = promisify(execFile);

for (const language of ["go-grpc", "python", "typescript"]) {
  test(`plugins new --lang ${language} writes a plugin that builds, passes its cases and is run by a node`, async (t) => {
    const folder = scratch(t);
    const plugin = join(folder, "my-plugin");
    const made = await run(["plugins", "new", "--lang", language, plugin]);
    assert.equal(made.code, 0, made.stderr);
    await execute("bash", ["build.sh"], { cwd: plugin });
    const tested = await run(["plugins", "test", join(plugin, "run.sh")]);
    assert.equal(tested.code, 0, `${tested.stdout}${tested.stderr}`);
    const config = join(folder, "config.json");
    const external = [{ name: "mine", command: ["./run.sh"], cwd: plugin }];
    writeFileSync(config, JSON.stringify({ plugins: { external } }));
    const node = await startNode(t, { dataDir: join(folder, "data"), args: ["--config", config] });
    const ran = await run(["task", "run", "mine", "primes", "100", "--url", node.rest]);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stdout.trim(), "25");
  });
}
