import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeError } from "../../src/core/mod.ts";
import { defaultConfig, loadConfig, type LoadOptions, SETTINGS, showSource } from "../../src/config/mod.ts";
import { test } from "../testing.ts";

/** A working directory and a home of their own. */
function scratch(t: { after(f: () => void): void }) {
  const root = mkdtempSync(join(tmpdir(), "velas-config-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const cwd = join(root, "cwd");
  const homeDir = join(root, "home");
  mkdirSync(cwd);
  mkdirSync(join(homeDir, ".velas-sphere"), { recursive: true });
  const write = (path: string, content: unknown): string => {
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };
  const load = (options: Partial<LoadOptions> = {}) => loadConfig({ env: {}, cwd, homeDir, ...options });
  const faults = (options: Partial<LoadOptions> = {}): string => {
    try {
      load(options);
    } catch (error) {
      assert.ok(error instanceof NodeError, String(error));
      assert.equal(error.code, "config_invalid");
      return error.message;
    }
    assert.fail("no fault was found");
  };
  return { cwd, homeDir, file: join(cwd, "config.json"), write, load, faults };
}

test("without flags, variables and file, every value is its default, and ~ is the home", (t) => {
  const { load, homeDir } = scratch(t);
  const { config, sources, file, notices } = load();
  assert.equal(config.node.dataDir, join(homeDir, ".velas-sphere"));
  assert.deepEqual(config.rpc.listen, ["127.0.0.1:8081", "127.0.0.1:8083"]);
  assert.equal(config.rpc.maxMessageBytes, 16 * 2 ** 20);
  assert.equal(config.tasks.defaultTimeoutMs, 30_000);
  assert.equal(config.rest.token, undefined);
  assert.equal(file, undefined);
  assert.deepEqual(notices, []);
  assert.equal(sources.size, SETTINGS.length);
  for (const source of sources.values()) assert.equal(source.layer, "default");
  assert.deepEqual(defaultConfig(homeDir), config);
});

test("a flag wins over the environment, the environment over the file, the file over the default, key by key", (t) => {
  const { load, write, file } = scratch(t);
  write(file, { log: { level: "debug" }, tasks: { maxQueued: 1, maxAttempts: 1, maxRunning: 1 }, node: { name: "f" } });
  const { config, sources } = load({
    flags: { "tasks.maxQueued": "3" },
    env: { VELAS_SPHERE_TASKS_MAX_QUEUED: "2", VELAS_SPHERE_TASKS_MAX_ATTEMPTS: "2", VELAS_SPHERE_NODE_NAME: "" },
  });
  assert.deepEqual(
    [config.tasks.maxQueued, config.tasks.maxAttempts, config.tasks.maxRunning, config.log.level, config.node.name],
    [3, 2, 1, "debug", "f"],
    "an empty variable sets nothing",
  );
  const shown = (key: string): string => showSource(sources.get(key)!);
  assert.equal(shown("tasks.maxQueued"), "flag --tasks-max-queued");
  assert.equal(shown("tasks.maxAttempts"), "environment VELAS_SPHERE_TASKS_MAX_ATTEMPTS");
  assert.equal(shown("tasks.maxRunning"), `file ${file}`);
  assert.equal(shown("log.format"), "default");
});

test("the file is the named one, else config.json here, else config.json in the data directory", (t) => {
  const { load, write, file, cwd, homeDir } = scratch(t);
  const inDataDir = write(join(homeDir, ".velas-sphere", "config.json"), { node: { name: "data dir" } });
  assert.equal(load().config.node.name, "data dir");
  assert.equal(load().file, inDataDir);
  write(file, { node: { name: "cwd" } });
  assert.equal(load().config.node.name, "cwd");
  write(join(cwd, "other.json"), { node: { name: "other" } });
  assert.equal(load({ configFile: "other.json" }).config.node.name, "other");
  assert.equal(load({ env: { VELAS_SPHERE_CONFIG: "other.json" } }).config.node.name, "other");
});

test("config.json is looked for in the data directory that a flag or a variable names", (t) => {
  const { load, write, cwd } = scratch(t);
  mkdirSync(join(cwd, "d"));
  write(join(cwd, "d", "config.json"), { node: { name: "found" } });
  assert.equal(load({ flags: { "node.dataDir": "d" } }).config.node.name, "found");
  assert.equal(load({ env: { VELAS_SPHERE_NODE_DATA_DIR: "d" } }).config.node.name, "found");
});

test("a relative path is relative to the file that has it, elsewhere to the working directory", (t) => {
  const { load, write, cwd, homeDir } = scratch(t);
  mkdirSync(join(cwd, "etc"));
  const configFile = write(join(cwd, "etc", "node.json"), { node: { dataDir: "data" } });
  assert.equal(load({ configFile }).config.node.dataDir, join(cwd, "etc", "data"));
  assert.equal(load({ configFile, flags: { "node.dataDir": "data" } }).config.node.dataDir, join(cwd, "data"));
  assert.equal(load({ flags: { "node.dataDir": "~/x" } }).config.node.dataDir, join(homeDir, "x"));
  assert.equal(load({ flags: { "node.dataDir": "/x" } }).config.node.dataDir, "/x");
});

test("texts in flags and variables are read by the setting's kind", (t) => {
  const { load } = scratch(t);
  const { config } = load({
    flags: {
      "node.open": true,
      "rpc.listen": "127.0.0.1:1, [::1]:2",
      "tasks.maxTimeoutMs": "90s",
      "tasks.defaultTimeoutMs": "1500",
      "tasks.maxMemoryBytes": "1.5GiB",
      "plugins.external": "a=127.0.0.1:1,b=original@host:2",
    },
    env: {
      VELAS_SPHERE_STORAGE_SYNC: "off",
      VELAS_SPHERE_REST_ALLOWED_HOSTS: '["a.example", "b.example"]',
    },
  });
  assert.equal(config.node.open, true);
  assert.deepEqual(config.rpc.listen, ["127.0.0.1:1", "[::1]:2"]);
  assert.equal(config.tasks.maxTimeoutMs, 90_000);
  assert.equal(config.tasks.defaultTimeoutMs, 1500);
  assert.equal(config.tasks.maxMemoryBytes, 1.5 * 2 ** 30);
  assert.deepEqual(config.plugins.external, [
    { name: "a", address: "127.0.0.1:1", protocol: "auto" },
    { name: "b", address: "host:2", protocol: "original" },
  ]);
  assert.equal(config.storage.sync, false);
  assert.deepEqual(config.rest.allowedHosts, ["a.example", "b.example"]);
});

test("unknown groups and keys are refused with the file's name and the likely meant key", (t) => {
  const { faults, write, file } = scratch(t);
  write(file, { task: {}, tasks: { maxQeued: 3, max_running: 2, listen: 1 }, nonsense: {}, $schema: "x" });
  const message = faults();
  assert.ok(message.startsWith("The configuration has 5 faults:\n"), message);
  assert.ok(message.includes(`${file} has an unknown group "task": did you mean "tasks"?`));
  assert.ok(message.includes(`${file} has an unknown key "tasks.maxQeued": did you mean "tasks.maxQueued"?`));
  assert.ok(message.includes(`"tasks.max_running": did you mean "tasks.maxRunning"?`));
  assert.ok(message.includes(`"tasks.listen": did you mean "rest.listen"?`), message);
  assert.ok(message.includes(`unknown group "nonsense": velas-sphere config print lists the known ones`));
});

test("wrong types and values out of range name the key, the place, the value and what it must be", (t) => {
  const { faults, write, file } = scratch(t);
  const cases: [document: unknown, message: string][] = [
    [
      { tasks: { maxQueued: "many" } },
      'tasks.maxQueued (file FILE) is "many": it must be a whole number from 1 to 10000000',
    ],
    [{ tasks: { maxQueued: "5" } }, 'tasks.maxQueued (file FILE) is "5": it must be a whole number from 1 to 10000000'],
    [{ tasks: { maxQueued: 0 } }, "tasks.maxQueued (file FILE) is 0: it must be a whole number from 1 to 10000000"],
    [{ tasks: { maxQueued: 1.5 } }, "tasks.maxQueued (file FILE) is 1.5: it must be a whole number from 1 to 10000000"],
    [
      { tasks: { maxQueued: null } },
      "tasks.maxQueued (file FILE) is null: it must be a whole number from 1 to 10000000",
    ],
    [
      { log: { level: "loud" } },
      'log.level (file FILE) is "loud": it must be one of "debug", "info", "warn", "error", "silent"',
    ],
    [{ node: { open: "yes" } }, 'node.open (file FILE) is "yes": it must be true or false'],
    [
      { node: { name: "" } },
      'node.name (file FILE) is "": it must be a text of 1 to 64 characters without control characters',
    ],
    [
      { rpc: { listen: [] } },
      'rpc.listen (file FILE) is []: it must be a list of addresses such as "127.0.0.1:8081" or "[::1]:8081"',
    ],
    [
      { rpc: { listen: ["127.0.0.1:1", "8081"] } },
      'rpc.listen (file FILE) is ["127.0.0.1:1","8081"] at listen[1]: it must be a list of addresses such as "127.0.0.1:8081" or "[::1]:8081"',
    ],
    [
      { tasks: { maxTimeoutMs: "2 weeks" } },
      'tasks.maxTimeoutMs (file FILE) is "2 weeks": it must be a duration such as "30s" or a number of milliseconds, from 1ms to 24h',
    ],
    [
      { tasks: { maxTimeoutMs: "25h" } },
      'tasks.maxTimeoutMs (file FILE) is "25h": it must be a duration such as "30s" or a number of milliseconds, from 1ms to 24h',
    ],
    [
      { rpc: { maxMessageBytes: "1B" } },
      'rpc.maxMessageBytes (file FILE) is "1B": it must be a size such as "64MiB" or a number of bytes, from 1KiB to 256MiB',
    ],
    [
      { plugins: { external: [{ name: "A b", address: "x:1" }] } },
      'plugins.external (file FILE) is [{"name":"A b","address":"x:1"}] at external[0][name]: it must be a list of {"name", "address" or "command", "protocol"}, or of "name=host:port" in a flag',
    ],
    [{ tasks: [] }, "tasks in FILE must be an object, not []"],
  ];
  for (const [document, message] of cases) {
    write(file, document);
    assert.equal(faults(), message.replaceAll("FILE", file));
  }
  write(file, {});
  assert.equal(
    faults({ env: { VELAS_SPHERE_TASKS_MAX_QUEUED: "-1" } }),
    'tasks.maxQueued (environment VELAS_SPHERE_TASKS_MAX_QUEUED) is "-1": it must be a whole number from 1 to 10000000',
  );
  assert.match(
    faults({ flags: { "tasks.maxQueued": "1e3" } }),
    /^tasks\.maxQueued \(flag --tasks-max-queued\) is "1e3"/,
  );
});

test("a file that is missing, no JSON, or no object is refused by its name, without quoting it", (t) => {
  const { faults, write, file, cwd } = scratch(t);
  assert.match(faults({ configFile: "absent.json" }), /absent\.json is not there/);
  write(file, '{"rest": {"token": "secret-secret-secret" "x"}}');
  assert.match(faults(), /config\.json is not JSON: /);
  assert.doesNotMatch(faults(), /secret/);
  write(file, "{oops, secret-secret}");
  assert.doesNotMatch(faults(), /secret/);
  for (const text of ["[]", "7", "null"]) {
    write(file, text);
    assert.equal(faults(), `The configuration file ${file} must hold a JSON object, not ${text}`);
  }
  assert.match(faults({ configFile: cwd }), /Cannot read the configuration file .* \(EISDIR\)/);
});

test("a file may begin with a byte order mark", (t) => {
  const { load, write, file } = scratch(t);
  write(file, '\uFEFF{"node":{"name":"bom"}}');
  assert.equal(load().config.node.name, "bom");
});

test("secrets come from the environment or a file of their own, and no message shows them", (t) => {
  const { load, faults, write, cwd, file } = scratch(t);
  const token = "0123456789abcdef";
  assert.equal(load({ env: { VELAS_SPHERE_REST_TOKEN: token } }).config.rest.token, token);
  write(join(cwd, "token"), `${token}\n`);
  const fromFile = load({ env: { VELAS_SPHERE_REST_TOKEN_FILE: "token" } });
  assert.equal(fromFile.config.rest.token, token);
  assert.equal(showSource(fromFile.sources.get("rest.token")!), `file ${join(cwd, "token")}`);

  assert.match(
    faults({ env: { VELAS_SPHERE_REST_TOKEN_FILE: "token", VELAS_SPHERE_REST_TOKEN: token } }),
    /Both rest\.token .* and rest\.tokenFile are set/,
  );
  assert.match(faults({ env: { VELAS_SPHERE_REST_TOKEN_FILE: "absent" } }), /rest\.tokenFile, .*absent \(ENOENT\)/);
  write(join(cwd, "token"), "short\n");
  assert.match(
    faults({ env: { VELAS_SPHERE_REST_TOKEN_FILE: "token" } }),
    /must hold a text of at least 16 characters$/,
  );
  write(file, { rest: { token: "tooshort" } });
  assert.equal(faults(), `rest.token (file ${file}) is not valid: it must be a text of at least 16 characters`);
});

test("a listener that other machines reach needs its safeguard", (t) => {
  const { load, faults } = scratch(t);
  const rpc = (listen: string): Record<string, string> => ({ "rpc.listen": listen });
  for (const listen of ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "node.example:1", "127.0.0.1:1,0.0.0.0:2"]) {
    assert.match(faults({ flags: rpc(listen) }), /rpc\.listen has .* set node\.open \(--open\)/);
    const open = { ...rpc(listen), "node.open": true };
    assert.match(faults({ flags: open }), /^rpc\.listen has .*, in plaintext: set rpc\.tlsCertFile .*--insecure/);
    load({ flags: { ...open, "node.insecure": true } });
    load({ flags: { ...open, "rpc.tlsCertFile": "cert.pem", "rpc.tlsKeyFile": "key.pem" } });
    const allow = "0x52908400098527886E0F7030069857D2E4169EE7";
    load({ flags: { ...rpc(listen), "node.insecure": true, "rpc.allow": allow } });
  }
  const contract = "0x52908400098527886E0F7030069857D2E4169EE7";
  const chain = { "payments.rpcUrls": "http://127.0.0.1:1", "payments.chainId": "1", "payments.channels": contract };
  const exposed = { ...rpc("0.0.0.0:1"), "node.insecure": true };
  load({ flags: { ...exposed, ...chain, "prices.minimum": "1" } });
  const isFreeForStrangers = /^rpc\.listen has 0\.0\.0\.0:1, .* would serve strangers for free/;
  assert.match(faults({ flags: { ...exposed, ...chain } }), isFreeForStrangers, "it pays, and wants nothing itself");
  assert.match(faults({ flags: { ...exposed, ...chain, "prices.minimum": "0" } }), isFreeForStrangers);
  assert.match(faults({ flags: { ...exposed, ...chain, "prices.token": contract } }), isFreeForStrangers);
  assert.match(
    faults({ flags: { ...exposed, "prices.minimum": "1" } }),
    /would serve strangers for free[^]*prices are set without payments\.rpcUrls/,
    "prices that nobody can pay",
  );
  const plain = { ...rpc("0.0.0.0:1"), ...chain, "prices.minimum": "1" };
  assert.match(faults({ flags: plain }), /^rpc\.listen has .*, in plaintext: set rpc\.tlsCertFile/);
  assert.match(faults({ flags: { "rpc.allow": "0x5290" } }), /rpc\.allow has "0x5290", which is no node id/);
  for (const listen of ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"]) {
    load({ flags: { ...rpc(listen), "rest.listen": listen.replace(/:1$/, ":2") } });
  }
  assert.match(
    faults({ flags: { "rest.listen": "0.0.0.0:3000" } }),
    /rest\.listen is 0\.0\.0\.0:3000.*VELAS_SPHERE_REST_TOKEN/,
  );
  const env = { VELAS_SPHERE_REST_TOKEN: "0123456789abcdef" };
  assert.match(
    faults({ flags: { "rest.listen": "0.0.0.0:3000" }, env }),
    /^rest\.listen has .*, in plaintext: set rest\.tls/,
  );
  load({ flags: { "rest.listen": "0.0.0.0:3000", "rest.scopedTokensFile": "tokens.json", "node.insecure": true } });
  load({ flags: { "rest.listen": "0.0.0.0:3000", "node.insecure": true }, env });
  load({ flags: { "rest.listen": "0.0.0.0:3000", "rest.tlsCertFile": "c", "rest.tlsKeyFile": "k" }, env });
});

test("values that contradict each other are refused", (t) => {
  const { load, faults } = scratch(t);
  assert.match(
    faults({ flags: { "tasks.maxTimeoutMs": "29999" } }),
    /tasks\.defaultTimeoutMs is 30s, above tasks\.maxTimeoutMs \(29999ms\)/,
  );
  load({ flags: { "tasks.maxTimeoutMs": "30000" } });
  assert.match(faults({ flags: { "rpc.tlsCertFile": "c" } }), /rpc\.tlsCertFile is set without rpc\.tlsKeyFile/);
  assert.match(faults({ flags: { "rest.tlsKeyFile": "k" } }), /rest\.tlsKeyFile is set without rest\.tlsCertFile/);
  assert.match(faults({ flags: { "rpc.tlsKeyFile": "k" } }), /rpc\.tlsKeyFile is set without rpc\.tlsCertFile/);
  assert.match(faults({ flags: { "rpc.listen": "127.0.0.1:1,127.0.0.1:1" } }), /rpc\.listen has 127\.0\.0\.1:1 twice/);
  load({ flags: { "rpc.listen": "127.0.0.1:0,127.0.0.1:0", "rest.listen": "127.0.0.1:0" } });
  assert.match(faults({ flags: { "rpc.listen": "127.0.0.1:3000" } }), /both have 127\.0\.0\.1:3000/);
  assert.match(faults({ flags: { "plugins.external": "a=x:1,a=y:1" } }), /two plugins named "a"/);
  const external = (plugin: object) => faults({ flags: { "plugins.external": JSON.stringify([plugin]) } });
  assert.match(external({ name: "a" }), /"a" has neither address nor command/);
  assert.match(external({ name: "a", address: "x:1", command: ["b"] }), /"a" has both address and command/);
  assert.match(external({ name: "a", address: "x:1", cwd: "/" }), /are for a plugin with a command/);
});

test("a variable that is nearly one of ours is noticed, and one that a platform sets is let be", (t) => {
  const { load } = scratch(t);
  const env = {
    VELAS_SPHERE_LOG_LEVL: "x",
    VELAS_SPHERE_PORT: "tcp://10.0.0.1:3000",
    VELAS_SPHERE_PORT_3000_TCP_PROTO: "tcp",
    VELAS_SPHERE_URL: "x",
  };
  assert.deepEqual(load({ env }).notices, [
    "The variable VELAS_SPHERE_LOG_LEVL is not known: did you mean VELAS_SPHERE_LOG_LEVEL?",
  ]);
});
