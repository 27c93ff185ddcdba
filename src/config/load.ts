import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { NodeError } from "../core/errors.ts";
import { checkTogether } from "./check.ts";
import { type Document, migrateDocument } from "./migrate.ts";
import { type Config, configSchema } from "./schema.ts";
import { ENV_PREFIX, type Setting, SETTING_BY_KEY, SETTINGS } from "./settings.ts";
import { closest } from "./suggest.ts";
import { readText } from "./text-form.ts";

/** The layers of the configuration; an earlier one wins. */
export type Layer = "flag" | "environment" | "file" | "default";

/** Where an effective value comes from. */
export interface ValueSource {
  readonly layer: Layer;
  /** The flag, the variable, or the file's path; empty for a default. */
  readonly name: string;
}

export interface LoadOptions {
  /** What flags set, by the setting's key; texts as they were typed. */
  readonly flags?: Readonly<Record<string, string | boolean>>;
  /** The file that `--config` names; it must be there. */
  readonly configFile?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly homeDir: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** By the setting's key. */
  readonly sources: ReadonlyMap<string, ValueSource>;
  /** The file that was read, if any. */
  readonly file?: string;
  /** What the operator should know: migrated keys, unknown variables. */
  readonly notices: readonly string[];
}

/** Variables with the prefix that are not settings: the CLI's own. */
const OTHER_VARIABLES = ["CONFIG", "URL", "TOKEN", "TOKEN_FILE", "TARGET"].map((name) => ENV_PREFIX + name);

/** A setting whose value may lie in the file that another names. */
const SECRET_FILES = [
  ["node.keyPassphrase", "node.keyPassphraseFile"],
  ["rest.token", "rest.tokenFile"],
  ["alerts.webhookUrl", "alerts.webhookUrlFile"],
  ["alerts.webhookSecret", "alerts.webhookSecretFile"],
] as const;

interface Candidate {
  readonly value: unknown;
  readonly source: ValueSource;
  /** What a relative path is relative to. */
  readonly base: string;
}

/**
 * Works out the effective configuration: flags over environment over file over defaults, each key by itself. The file is the one
 * given, else `config.json` in the working directory, else `config.json` in the data directory. Secrets that lie in files of
 * their own are read. Throws `config_invalid` with every fault that was found, each naming key, place, value and expectation.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const faults: string[] = [];
  const notices: string[] = [];
  const file = findFile(options);
  const document = file === undefined ? {} : readDocument(file, { faults, notices });

  const values: Record<string, Record<string, unknown>> = {};
  const sources = new Map<string, ValueSource>();
  for (const setting of SETTINGS) {
    const candidate = pick(setting, { options, document, file });
    sources.set(setting.key, candidate.source);
    const group = values[setting.group] ??= {};
    const value = check(setting, candidate, faults);
    if (value === undefined) continue;
    group[setting.name] = setting.kind === "path"
      ? resolvePath(value as string, candidate.base, options.homeDir)
      : value;
  }
  notices.push(...unknownVariables(options.env));

  for (const [key, fileKey] of SECRET_FILES) readSecretFile({ key, fileKey, values, sources, faults });
  if (faults.length === 0) faults.push(...checkTogether(values as unknown as Config));
  if (faults.length > 0) throw invalid(faults);
  return { config: values as unknown as Config, sources, notices, ...(file === undefined ? {} : { file }) };
}

/** The defaults alone, for tests and generated pages. Paths are resolved against the given directory. */
export function defaultConfig(homeDir: string): Config {
  return loadConfig({ env: {}, cwd: join(homeDir, ".no-such-directory"), homeDir }).config;
}

function invalid(faults: readonly string[]): NodeError {
  const message = faults.length === 1
    ? faults[0]!
    : `The configuration has ${faults.length} faults:\n${faults.map((fault) => `  ${fault}`).join("\n")}`;
  return new NodeError("config_invalid", message, { data: { faults: faults.length } });
}

/** The value of the highest layer that has the key. */
function pick(
  setting: Setting,
  { options, document, file }: { options: LoadOptions; document: Document; file: string | undefined },
): Candidate {
  const base = options.cwd;
  const flag = options.flags?.[setting.key];
  if (flag !== undefined) {
    const value = typeof flag === "string" ? readText(setting, flag) : flag;
    return { value, source: { layer: "flag", name: setting.flag ?? "" }, base };
  }
  const variable = options.env[setting.env];
  if (variable !== undefined && variable !== "") {
    return { value: readText(setting, variable), source: { layer: "environment", name: setting.env }, base };
  }
  const group = document[setting.group];
  if (isRecord(group) && Object.hasOwn(group, setting.name)) {
    const value = group[setting.name];
    return { value, source: { layer: "file", name: file! }, base: dirname(file!) };
  }
  return { value: setting.default, source: { layer: "default", name: "" }, base };
}

function check(setting: Setting, candidate: Candidate, faults: string[]): unknown {
  const result = setting.schema.safeParse(candidate.value);
  if (result.success) return result.data;
  const { source, value } = candidate;
  const shown = setting.secret ? "not valid" : truncate(JSON.stringify(value) ?? String(value));
  const issue = result.error.issues[0]!;
  // In a list, say which item; the expectation tells the rest.
  const place = issue.path.length === 0
    ? ""
    : ` at ${setting.name}${issue.path.map((part) => `[${String(part)}]`).join("")}`;
  faults.push(`${setting.key} (${showSource(source)}) is ${shown}${place}: it must be ${setting.expectation}`);
  return undefined;
}

function truncate(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Where a value comes from, in words: `flag --log-level`, `file config.json`. */
export function showSource({ layer, name }: ValueSource): string {
  return name === "" ? layer : `${layer} ${name}`;
}

function findFile({ configFile, env, cwd, homeDir, flags }: LoadOptions): string | undefined {
  const named = configFile ?? (env[`${ENV_PREFIX}CONFIG`] || undefined);
  if (named !== undefined) return resolvePath(named, cwd, homeDir);
  const setting = SETTING_BY_KEY.get("node.dataDir")!;
  const dataDir = String(flags?.[setting.key] ?? (env[setting.env] || setting.default));
  const places = [cwd, resolvePath(dataDir, cwd, homeDir)].map((folder) => join(folder, "config.json"));
  return places.find((place) => readIfThere(place) !== undefined);
}

/** The parsed and migrated file. Its unknown keys and groups become faults. Throws when it cannot be read as JSON at all. */
function readDocument(file: string, { faults, notices }: { faults: string[]; notices: string[] }): Document {
  const text = readIfThere(file);
  if (text === undefined) {
    throw invalid([
      `The configuration file ${file} is not there: name another with --config, or leave the option away`,
    ]);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    // V8 quotes the text around the fault, which may hold a secret.
    const fault = (cause as Error).message.replace(/, (\.\.\.)?".*$/s, "");
    throw new NodeError("config_invalid", `The configuration file ${file} is not JSON: ${fault}`);
  }
  if (!isRecord(parsed)) {
    throw invalid([`The configuration file ${file} must hold a JSON object, not ${truncate(text.trim())}`]);
  }
  const migrated = migrateDocument(parsed);
  notices.push(...migrated.notices.map((notice) => `${file}: ${notice}`));
  faults.push(...unknownKeys(migrated.document, file));
  return migrated.document;
}

function unknownKeys(document: Document, file: string): string[] {
  const faults: string[] = [];
  const groups = Object.keys(configSchema.shape);
  for (const [group, content] of Object.entries(document)) {
    if (group === "$schema") continue;
    if (!groups.includes(group)) {
      faults.push(`${file} has an unknown group "${group}"${didYouMean(closest(group, groups))}`);
      continue;
    }
    if (!isRecord(content)) {
      faults.push(`${group} in ${file} must be an object, not ${truncate(JSON.stringify(content))}`);
      continue;
    }
    for (const name of Object.keys(content)) {
      if (SETTING_BY_KEY.has(`${group}.${name}`)) continue;
      const near = closest(name, SETTINGS.filter((each) => each.group === group).map((each) => each.name));
      const meant = near === undefined ? closest(`${group}.${name}`, SETTING_BY_KEY.keys()) : `${group}.${near}`;
      faults.push(`${file} has an unknown key "${group}.${name}"${didYouMean(meant)}`);
    }
  }
  return faults;
}

function didYouMean(candidate: string | undefined): string {
  return candidate === undefined
    ? ": velas-sphere config print lists the known ones"
    : `: did you mean "${candidate}"?`;
}

/** Variables that look like settings. Not faults: Kubernetes sets variables such as VELAS_SPHERE_PORT by itself. */
function unknownVariables(env: LoadOptions["env"]): string[] {
  const known = [...SETTINGS.map((setting) => setting.env), ...OTHER_VARIABLES];
  return Object.keys(env)
    .filter((name) => name.startsWith(ENV_PREFIX) && !known.includes(name))
    .flatMap((name) => {
      const near = closest(name.slice(ENV_PREFIX.length), known.map((each) => each.slice(ENV_PREFIX.length)));
      return near === undefined ? [] : [`The variable ${name} is not known: did you mean ${ENV_PREFIX}${near}?`];
    });
}

function readSecretFile(
  { key, fileKey, values, sources, faults }: {
    key: string;
    fileKey: string;
    values: Record<string, Record<string, unknown>>;
    sources: Map<string, ValueSource>;
    faults: string[];
  },
): void {
  const setting = SETTING_BY_KEY.get(key)!;
  const fileSetting = SETTING_BY_KEY.get(fileKey)!;
  const group = values[setting.group]!;
  const path = group[fileSetting.name] as string | undefined;
  if (path === undefined) return;
  if (group[setting.name] !== undefined) {
    faults.push(`Both ${key} (${showSource(sources.get(key)!)}) and ${fileKey} are set: leave one of them away`);
    return;
  }
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    faults.push(`Cannot read the file of ${fileKey}, ${path} (${String((cause as { code?: string }).code)})`);
    return;
  }
  if (setting.schema.safeParse(text).success) {
    group[setting.name] = text;
    sources.set(key, { layer: "file", name: path });
  } else faults.push(`The file of ${fileKey}, ${path}, must hold ${setting.expectation}`);
}

function resolvePath(path: string, base: string, homeDir: string): string {
  if (path === "~" || path.startsWith("~/")) return join(homeDir, path.slice(1));
  return isAbsolute(path) ? path : resolve(base, path);
}

/** The file's text, or `undefined` when there is none. Throws `config_invalid` when it cannot be read. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const { code = (cause as Error).message } = cause as { code?: string };
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new NodeError("config_invalid", `Cannot read the configuration file ${path} (${code})`, { cause });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
