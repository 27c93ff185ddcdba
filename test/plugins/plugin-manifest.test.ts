import assert from "node:assert/strict";
import { compareVersions } from "../../src/plugins/plugin-manifest.ts";
import { test } from "../testing.ts";

test("compareVersions() orders versions as semver.org does", () => {
  const ordered = [
    "0.0.0",
    "0.9.10",
    "0.10.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "2.0.0",
  ];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) {
      assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} and ${b}`);
    }
  }
  assert.equal(compareVersions("1.0.0+build.5", "1.0.0+other"), 0);
});
