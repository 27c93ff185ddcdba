import { isPermission } from "../core/mod.ts";
import type { Permission, PluginFunction } from "../core/mod.ts";
import { invalidModule } from "./wasm-binary.ts";
import type { ModuleOutline } from "./wasm-module.ts";

/** The custom section that holds a plugin's manifest, so that one file is a whole plugin. */
export const MANIFEST_SECTION = "velas:manifest";

/** What a plugin says of itself. */
export interface PluginManifest {
  readonly name: string;
  /** A semantic version. */
  readonly version: string;
  readonly description: string;
  /** At least one; the first is what a task runs that names none. */
  readonly functions: readonly PluginFunction[];
  /** What it asks of the node beyond its input; see `permissions.ts`. */
  readonly needs: readonly Permission[];
  /** Whether every call gets an instance of its own, so that it costs the same each time and finds nothing of calls before. */
  readonly fresh: boolean;
  /** Functions that ask for their input part by part, while it comes. */
  readonly streams: ReadonlySet<string>;
}

const MANIFEST_BYTES = 1 << 16; // 64 KiB
const MAX_FUNCTIONS = 1000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const FUNCTION_NAME = /^[\x21-\x7e]{1,128}$/;
const CONTENT_TYPE = /^[\x20-\x7e]{0,255}$/;
const VERSION = /^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]{1,64})?(\+[0-9A-Za-z.-]{1,64})?$/;
/** What runtimes call by themselves to make a module ready; no task may. */
const LIFECYCLE = new Set(["_initialize", "_start", "hs_init", "hs_exit"]);

/**
 * The manifest of a module: its custom section `velas:manifest`, or without one `fallbackName`, version 0.0.0 and every exported
 * function that takes no arguments. Throws `module_invalid` when the section is not a manifest, or names a function that is
 * not there.
 */
export function readManifest(outline: ModuleOutline, fallbackName: string): PluginManifest {
  const callable = new Set(
    outline.exports
      .filter(({ kind, name, signature }) => kind === "function" && signature.startsWith(":") && !LIFECYCLE.has(name))
      .map(({ name }) => name),
  );
  const section = outline.custom.get(MANIFEST_SECTION);
  const manifest = section === undefined ? impliedManifest(fallbackName, [...callable]) : checkManifest(parse(section));
  for (const { name } of manifest.functions) {
    if (!callable.has(name)) {
      throw invalidModule(
        `The plugin's manifest names the function "${name}", but the module exports no function of that name without arguments`,
      );
    }
  }
  return manifest;
}

/** Orders semantic versions, lowest first (semver.org 2.0.0, section 11; build metadata is ignored). */
export function compareVersions(a: string, b: string): number {
  const [coreA = "", preA] = splitVersion(a);
  const [coreB = "", preB] = splitVersion(b);
  const core = compareFields(coreA, coreB);
  if (core !== 0) return core;
  if (preA === undefined || preB === undefined) return preA === preB ? 0 : preA === undefined ? 1 : -1;
  return compareFields(preA, preB);
}

function splitVersion(version: string): [string, string | undefined] {
  const bare = version.split("+", 1)[0] ?? "";
  const dash = bare.indexOf("-");
  return dash < 0 ? [bare, undefined] : [bare.slice(0, dash), bare.slice(dash + 1)];
}

function compareFields(a: string, b: string): number {
  const left = a.split(".");
  const right = b.split(".");
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x, y] = [left[i]!, right[i]!];
    const [numericX, numericY] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (numericX !== numericY) return numericX ? -1 : 1;
    if (numericX && Number(x) !== Number(y)) return Number(x) - Number(y);
    if (!numericX && x !== y) return x < y ? -1 : 1;
  }
  return left.length - right.length;
}

function impliedManifest(fallbackName: string, functions: readonly string[]): PluginManifest {
  const names = functions.filter((name) => !name.startsWith("_") && FUNCTION_NAME.test(name)).slice(0, MAX_FUNCTIONS);
  if (names.length === 0) {
    throw invalidModule(
      `The module has no "${MANIFEST_SECTION}" section and exports no function without arguments, so there is nothing to call`,
    );
  }
  // A file name may hold anything; a plugin's name is part of references such as name@version.
  const name = fallbackName.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 64) || "plugin";
  return {
    name,
    version: "0.0.0",
    description: "",
    functions: names.map((n) => ({ ...NO_FUNCTION, name: n })),
    needs: [],
    fresh: false,
    streams: new Set(),
  };
}

const NO_FUNCTION: PluginFunction = { name: "", inputContentType: "", outputContentType: "", description: "" };

function parse(section: Uint8Array): unknown {
  if (section.length > MANIFEST_BYTES) {
    throw invalidModule(`The plugin's manifest has ${section.length} bytes; at most ${MANIFEST_BYTES} are allowed`);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(section));
  } catch (cause) {
    throw invalidModule(`The plugin's manifest (custom section "${MANIFEST_SECTION}") is not JSON in UTF-8`, cause);
  }
}

function checkManifest(value: unknown): PluginManifest {
  const manifest = object(value, "");
  const name = text(manifest["name"], "name", NAME);
  const version = text(manifest["version"], "version", VERSION);
  const description = text(manifest["description"] ?? "", "description");
  const list = manifest["functions"];
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_FUNCTIONS) {
    throw invalidModule(`The plugin's manifest must list 1 to ${MAX_FUNCTIONS} functions in "functions"`);
  }
  const functions = list.map((item: unknown, i): PluginFunction => {
    const fn = object(item, `functions[${i}]`);
    return {
      name: text(fn["name"], `functions[${i}].name`, FUNCTION_NAME),
      inputContentType: text(fn["inputContentType"] ?? "", `functions[${i}].inputContentType`, CONTENT_TYPE),
      outputContentType: text(fn["outputContentType"] ?? "", `functions[${i}].outputContentType`, CONTENT_TYPE),
      description: text(fn["description"] ?? "", `functions[${i}].description`),
    };
  });
  const streams = new Set<string>();
  list.forEach((item: unknown, i) => {
    if (flag((item as Record<string, unknown>)["streamsInput"], `functions[${i}].streamsInput`)) {
      streams.add(functions[i]!.name);
    }
  });
  if (new Set(functions.map((fn) => fn.name)).size !== functions.length) {
    throw invalidModule("The plugin's manifest lists a function twice");
  }
  const needs = manifest["needs"] ?? [];
  if (!Array.isArray(needs) || needs.length > 64) {
    throw invalidModule('The plugin\'s manifest must list at most 64 permissions in "needs"');
  }
  for (const need of needs) {
    if (typeof need === "string" && isPermission(need)) continue;
    throw invalidModule(
      `The plugin's manifest needs ${
        JSON.stringify(need)?.slice(0, 80)
      }; there are kv, clock, files.read, files.write, http:host`,
    );
  }
  const fresh = flag(manifest["fresh"], "fresh");
  return { name, version, description, functions, needs: needs as Permission[], fresh, streams };
}

function flag(value: unknown, path: string): boolean {
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  const shown = JSON.stringify(value)?.slice(0, 80);
  throw invalidModule(`The plugin's manifest has ${shown} as ${path}; it must be true or false`);
}

function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalidModule(`The plugin's manifest must be an object${path === "" ? "" : ` at ${path}`}`);
}

function text(value: unknown, path: string, pattern?: RegExp): string {
  if (typeof value === "string" && value.length <= 4096 && (pattern === undefined || pattern.test(value))) return value;
  const shown = JSON.stringify(value)?.slice(0, 80) ?? "nothing";
  const rule = pattern === undefined ? "text of at most 4096 characters" : `text that matches ${pattern.source}`;
  throw invalidModule(`The plugin's manifest has ${shown} as ${path}; it must be ${rule}`);
}
