import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { run, scratch, startNode } from "../e2e/harness.ts";
import { call, text } from "../plugins/external-calls.ts";
import { silentLog } from "../../src/core/mod.ts";
import { connectExternalPlugin } from "../../src/plugins/external-plugin.ts";
import { test } from "../testing.ts";

const execute = promisify(execFile);

/** Where a template's function `held` goes, which logs, and ends when the file `go` is there. */
const HELD: Readonly<Record<string, { readonly file: string; readonly before: string; readonly code: string }>> = {
  "go-grpc": {
    file: "main.go",
    before: "func primes(",
    code: `func held(call *velas.Call) error {
	call.Log(velas.Info, "started")
	call.Progress(0.5, "half")
	for {
		if _, err := os.Stat("go"); err == nil {
			call.UsedGPU(1500 * time.Microsecond)
			_, err = io.WriteString(call, "done")
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

`,
  },
  python: {
    file: "plugin.py",
    before: "if __name__",
    code: `@function()
def held(call: Call) -> str:
    import os
    import time

    call.log("started")
    call.progress(0.5, "half")
    while not os.path.exists("go"):
        time.sleep(0.01)
    call.used_gpu(0.0015)
    return "done"


`,
  },
  typescript: {
    file: "plugin.ts",
    before: "    greet: {",
    code: `    held: {
      async run(call) {
        call.log("started");
        call.progress(0.5, "half");
        while (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 10));
        call.usedGpu(0.0015);
        return "done";
      },
    },
    runtime: {
      async run() {
        return "Deno" in globalThis ? "deno" : "node";
      },
    },
`,
  },
};

/** Adds `held` to a plugin that was made from a template, and says that the plugin works on a GPU. */
function addHeld(language: string, plugin: string): void {
  const { file, before, code } = HELD[language]!;
  const path = join(plugin, file);
  let source = readFileSync(path, "utf8").replace(before, () => code + before);
  if (language === "go-grpc") {
    source = source.replace("import (", 'import (\n\t"os"\n\t"time"')
      .replace(
        "Functions: []velas.Function{",
        'GPU: true,\n\t\tFunctions: []velas.Function{\n\t\t\t{Name: "held", Run: held},',
      );
  } else if (language === "python") {
    source = source.replace(/serve\((.*)\)$/m, "serve($1, gpu=True)");
  } else {
    source = `import { existsSync } from "node:fs";\n${source.replace("functions: {", "gpu: true,\n  functions: {")}`;
  }
  writeFileSync(path, source);
}

/** A template, and for one in TypeScript the runtime that is the only one to be found. */
interface Template {
  readonly language: string;
  readonly runtime?: "node" | "deno";
}

const TEMPLATES: readonly Template[] = [
  { language: "go-grpc" },
  { language: "python" },
  { language: "typescript", runtime: "node" },
  { language: "typescript", runtime: "deno" },
];

/** A path of programs on which a runtime is, and the other is not. */
function pathWith(runtime: string, folder: string): string {
  const programs = join(folder, "programs");
  mkdirSync(programs);
  const link = (name: string, program: string) => symlinkSync(realpathSync(program), join(programs, name));
  link(runtime, fileURLToPath(new URL(`../../node_modules/.bin/${runtime}`, import.meta.url)));
  const find = (name: string) =>
    process.env["PATH"]!.split(delimiter).map((place) => join(place, name)).find((file) => existsSync(file));
  for (const name of ["sh", "dirname"]) link(name, find(name)!);
  return programs;
}

for (const { language, runtime } of TEMPLATES) {
  const where = runtime === undefined ? "" : ` on ${runtime} alone`;
  test(`plugins new --lang ${language} writes a plugin that builds, passes its cases and is run by a node${where}`, async (t) => {
    const folder = scratch(t);
    const plugin = join(folder, "my-plugin");
    const made = await run(["plugins", "new", "--lang", language, plugin]);
    assert.equal(made.code, 0, made.stderr);
    addHeld(language, plugin);
    await execute("bash", ["build.sh"], { cwd: plugin });
    const path = runtime === undefined ? process.env["PATH"]! : pathWith(runtime, folder);
    const tested = await run(["plugins", "test", join(plugin, "run.sh")], { env: { PATH: path } });
    assert.equal(tested.code, 0, `${tested.stdout}${tested.stderr}`);
    const config = join(folder, "config.json");
    const command = { command: ["./run.sh"], cwd: plugin, env: [`PATH=${path}`] };
    writeFileSync(config, JSON.stringify({ plugins: { external: [{ name: "mine", ...command }] } }));
    const node = await startNode(t, { dataDir: join(folder, "data"), args: ["--config", config] });
    const answer = async (...task: string[]) => {
      const ran = await run(["task", "run", "mine", ...task, "--url", node.rest]);
      assert.equal(ran.code, 0, ran.stderr);
      return ran.stdout.trim();
    };
    assert.equal(await answer("primes", "100"), "25");
    if (runtime !== undefined) assert.equal(await answer("runtime"), runtime);

    // What a function says comes while it runs, and its time on a GPU with the result.
    const direct = connectExternalPlugin({ name: "mine", protocol: "velas", ...command, log: silentLog });
    t.after(() => direct.close());
    await direct.settled();
    assert.equal(direct.info().ready, true, direct.info().problem);
    assert.deepEqual(direct.info().gpu, { running: 0, waiting: 0 });
    const seen: string[] = [];
    const { output, usage } = await direct.execute(
      call(new Uint8Array(0), {
        limits: { timeoutMs: 60_000, memoryBytes: 1 << 20, outputBytes: 1 << 20 },
        onEvent: (event) => {
          if (event.type === "chunk") return;
          seen.push(`${event.type} ${event.message}`);
          // The function waits for this, and so for what it said before to arrive.
          if (seen.length === 2) writeFileSync(join(plugin, "go"), "");
        },
      }),
      "held",
    );
    assert.equal(text(output), "done");
    assert.deepEqual(seen, ["log started", "progress half"]);
    assert.equal(usage.gpuMicros, 1500);
  });
}
