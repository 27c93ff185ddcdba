import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as z from "zod";
import { configJsonSchema, configReference, EXAMPLE, loadConfig, SETTINGS } from "../../src/config/mod.ts";
import { migrateDocument } from "../../src/config/migrate.ts";

const projectFile = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("docs/configuration.md is what the schema generates (npm run gen writes it)", () => {
  assert.equal(projectFile("docs/configuration.md"), configReference());
});

test("config.example.json is the page's example, and it loads", () => {
  assert.deepEqual(JSON.parse(projectFile("config.example.json")), EXAMPLE);
  const configFile = new URL("../../config.example.json", import.meta.url).pathname;
  const { config } = loadConfig({ configFile, env: {}, cwd: "/", homeDir: "/" });
  assert.equal(config.tasks.maxTimeoutMs, 300_000);
});

test("every setting has a description, a valid default, and names that no other has", () => {
  for (const setting of SETTINGS) {
    assert.ok(setting.description.length > 10, setting.key);
    assert.ok(!setting.description.endsWith("."), `${setting.key}: the reference adds the full stop`);
    assert.ok(setting.schema.safeParse(setting.default).success, setting.key);
    assert.equal(setting.flag === undefined, setting.secret, setting.key);
  }
  for (
    const names of [
      SETTINGS.map((each) => each.key),
      SETTINGS.map((each) => each.env),
      SETTINGS.map((each) => each.flag),
    ]
  ) {
    const present = names.filter((name) => name !== undefined);
    assert.equal(new Set(present).size, present.length);
  }
});

test("the JSON Schema takes the example and an empty file, knows every key, and refuses unknown ones", () => {
  const schema = configJsonSchema() as {
    properties: Record<string, { properties: Record<string, { default?: unknown }> }>;
  };
  const validator = z.fromJSONSchema(schema as never);
  assert.ok(validator.safeParse(EXAMPLE).success);
  assert.ok(validator.safeParse({}).success);
  assert.ok(validator.safeParse({ $schema: "./config.schema.json", log: {} }).success);
  assert.ok(!validator.safeParse({ nope: {} }).success);
  assert.ok(!validator.safeParse({ log: { nope: 1 } }).success);
  assert.ok(!validator.safeParse({ log: { level: "loud" } }).success);
  assert.ok(validator.safeParse(migrateDocument({ node: { plugin_target: "a:1" } }).document).success);
  for (const setting of SETTINGS) {
    assert.deepEqual(schema.properties[setting.group]?.properties[setting.name]?.default, setting.default, setting.key);
  }
});
