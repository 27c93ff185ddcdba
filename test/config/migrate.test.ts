import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/mod.ts";
import { migrateDocument } from "../../src/config/migrate.ts";
import { test } from "../testing.ts";

const external = (address: unknown) => ({ name: "external", address, protocol: "auto" });

test("the original's config.json makes its plugin the default external plugin, with a notice", (t) => {
  const cwd = mkdtempSync(join(tmpdir(), "velas-config-"));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  const file = join(cwd, "config.json");
  writeFileSync(file, '{"node":{"plugin_target":"127.0.0.1:8082"}}');
  const { config, notices, sources } = loadConfig({ env: {}, cwd, homeDir: cwd });
  assert.deepEqual(config.plugins.external, [external("127.0.0.1:8082")]);
  assert.equal(config.plugins.default, "external");
  assert.equal(sources.get("plugins.default")?.layer, "file");
  assert.deepEqual(notices, [
    `${file}: plugin_target of the original node is taken as plugins.external "external" at 127.0.0.1:8082, the default plugin`,
  ]);
});

test("every shape of file that the original's versions had is taken", () => {
  const shapes = [
    { node: { plugin_target: "plugin:8082" } },
    { provider: { plugin_target: "plugin:8082" } },
    { provider: { plugin_target: "plugin:8082" }, requester: { target: "127.0.0.1:8081" } },
    { Node: { Plugin_Target: "plugin:8082" } },
    {
      node: {
        plugin_target: "plugin:8082",
        storage_plugin_target: "x",
        ethereum_node_target: "http://127.0.0.1:8545",
        keystore_file_path: "UTC--2020",
        keystore_password: "c2VjcmV0",
        ethdepositcontract_address: "0x0000000000000000000000000000000000000000",
      },
    },
  ];
  for (const shape of shapes) {
    const { document, notices } = migrateDocument(shape);
    assert.deepEqual(document, { plugins: { default: "external", external: [external("plugin:8082")] } });
    assert.doesNotMatch(notices.join(), /c2VjcmV0/);
  }
  assert.equal(migrateDocument(shapes[4]!).notices.length, 6);
});

test("addresses in grpc-go's spellings become host:port", () => {
  for (const [target, address] of [[":8082", "127.0.0.1:8082"], ["dns:///plugin:8082", "plugin:8082"]] as const) {
    const { document } = migrateDocument({ node: { plugin_target: target } });
    assert.deepEqual((document["plugins"] as { external: unknown }).external, [external(address)]);
  }
});

test("keys of this node beside the original's are kept and win", () => {
  const own = { name: "b", address: "b:1" };
  const { document } = migrateDocument({
    node: { plugin_target: "a:1", name: "mine" },
    plugins: { default: "b", external: [own] },
  });
  assert.deepEqual(document, { node: { name: "mine" }, plugins: { default: "b", external: [external("a:1"), own] } });
});

test("a file without the original's keys is returned as it is", () => {
  for (const document of [{}, { node: { name: "x" } }, { node: 7, plugins: null }, { requester: { maxPeers: 1 } }]) {
    const migrated = migrateDocument(document);
    assert.equal(migrated.document, document);
    assert.deepEqual(migrated.notices, []);
  }
});

test("a plugin_target that is empty sets nothing, and one that is no address is reported by the schema", () => {
  assert.deepEqual(migrateDocument({ node: { plugin_target: "" } }), { document: {}, notices: [] });
  const { document } = migrateDocument({ node: { plugin_target: 8082 } });
  assert.deepEqual((document["plugins"] as { external: unknown }).external, [external(8082)]);
});
