import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { moduleSha256 } from "../../src/plugins/prepare-module.ts";
import { hasCode, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost, wasm } from "./host-fixture.ts";
import { test } from "../testing.ts";

const LANGUAGES = ["demo", "demo-go", "demo-as"];
const MODULES = ["demo-go/demo-go", "demo-as/demo-as"]; // a host brings its own demo

const CASES: readonly (readonly [fn: string, input: string, output: string])[] = [
  ["greet", "hello", "world"],
  ["greet", "Ünü", "hello, Ünü"],
  ["greet", "", "hello, "],
  ["echo", "any\0thing 漢字", "any\0thing 漢字"],
  ["wordcount", "two words\n", '{"lines":1,"words":2,"bytes":10}'],
  ["wordcount", "", '{"lines":0,"words":0,"bytes":0}'],
  ["primes", "0", "0"],
  ["primes", "2", "1"],
  ["primes", " 100000\n", "9592"],
];

test("the demo plugins in Rust, Go and AssemblyScript answer alike", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  for (const plugin of LANGUAGES) {
    for (const [fn, input, expected] of CASES) {
      const { output } = await host.execute(pluginCall(fn, input, { plugin }));
      assert.equal(text(output), expected, `${plugin} ${fn}`);
    }
    for (const input of ["", "many", "-1", "10000001"]) {
      await assert.rejects(
        host.execute(pluginCall("primes", input, { plugin })),
        hasCode("plugin_failed", /whole number from 0 to 10000000/),
        plugin,
      );
    }
  }
});

// What the calls count in instances that nothing ran in before. The vector holds on both runtimes and every machine; a change of a module
// changes it, a change of what instructions cost is a new version of the cost table.
const VECTOR = new URL("../vectors/meter.json", import.meta.url);
interface MeterVector {
  readonly costTable: number;
  readonly calls: { plugin: string; sha256: string; function: string; input: string; instructions: number }[];
}

test("the demo plugins count on this runtime what the vector says", async (t) => {
  const calls: MeterVector["calls"] = [];
  for (const plugin of LANGUAGES) {
    const sha256 = moduleSha256(wasm(`${plugin}/${plugin}`));
    for (const [fn, input] of CASES) {
      const host = await openHost(t, { modules: MODULES, workers: 1 });
      const { usage } = await host.execute(pluginCall(fn, input, { plugin }));
      calls.push({ plugin, sha256, function: fn, input, instructions: usage.instructions });
      await host.close();
    }
  }
  const { COST_TABLE_VERSION: costTable } = await import("../../src/plugins/wasm-meter/costs.ts");
  if (process.env["VELAS_WRITE_VECTORS"] === "1") {
    writeFileSync(VECTOR, `${JSON.stringify({ costTable, calls }, null, 2)}\n`);
  }
  const vector = JSON.parse(readFileSync(VECTOR, "utf8")) as MeterVector;
  assert.deepEqual({ costTable, calls }, vector);
});
