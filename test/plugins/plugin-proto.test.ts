import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "../testing.ts";

/** Messages and enums of proto files: by name, the fields without their options and comments. */
function shapes(...paths: string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const path of paths) {
    const text = readFileSync(new URL(`../../${path}`, import.meta.url), "utf8").replace(/\/\/.*/g, "");
    for (const [, name, body] of text.matchAll(/^(?:message|enum) (\w+) \{([^]*?)^\}|^message \w+ \{\}/gm)) {
      if (name === undefined) continue;
      found.set(
        name,
        [...body!.matchAll(/^\s*((?:repeated )?[\w.]*\s?\w+ = \d+)/gm)].map(([, field]) => field!.trim()),
      );
    }
  }
  return found;
}

test("the proto file of plugin templates says what the protocol says", () => {
  const protocol = shapes(...["plugin", "task", "node"].map((name) => `proto/velas/sphere/v1/${name}.proto`));
  const template = shapes("grpc-plugins/plugin.proto");
  assert(template.size >= 10, [...template.keys()].join());
  for (const [name, fields] of template) assert.deepEqual(fields, protocol.get(name), name);
});
