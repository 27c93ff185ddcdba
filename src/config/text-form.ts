import type { Setting } from "./settings.ts";
import { formatDuration, formatSize } from "./units.ts";

/**
 * What a text in a flag or the environment means for a setting: a value as a file would hold it. A text that cannot be read is
 * returned as it is, and the schema then rejects it. Lists are separated by commas, or are JSON.
 */
export function readText(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case "boolean":
      if (/^(true|yes|on|1)$/i.test(text)) return true;
      return /^(false|no|off|0)$/i.test(text) ? false : text;
    case "integer":
    case "duration":
    case "size":
      return /^\d{1,15}$/.test(text) ? Number(text) : text;
    case "addresses":
    case "texts":
      return readList(text);
    case "externalPlugins": {
      const list = readList(text);
      return Array.isArray(list)
        ? list.map((item) => typeof item === "string" ? readExternalPlugin(item) : item)
        : list;
    }
    default:
      return text;
  }
}

function readList(text: string): unknown {
  if (text.trimStart().startsWith("[")) {
    try {
      return JSON.parse(text);
    } catch {
      // An IPv6 address begins with a bracket too.
    }
  }
  return text.split(",").map((item) => item.trim()).filter((item) => item !== "");
}

/** `name=host:port` or `name=protocol@host:port`. */
function readExternalPlugin(text: string): unknown {
  const match = /^([^=]*)=(?:([a-z]+)@)?(.*)$/.exec(text);
  if (match === null) return text;
  const [, name, protocol, address] = match;
  return { name, address, ...(protocol === undefined ? {} : { protocol }) };
}

/** A value for people: `4MiB`, `30s`, `127.0.0.1:8081, 127.0.0.1:8083`; secrets and absent values in words. */
export function showValue(setting: Setting, value: unknown): string {
  if (value === undefined) return "(none)";
  if (setting.secret) return "(secret)";
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return value.map((item) => typeof item === "string" ? showText(item) : showExternalPlugin(item)).join(", ");
  }
  if (typeof value === "number" && setting.kind === "duration") return formatDuration(value);
  if (typeof value === "number" && setting.kind === "size") return formatSize(value);
  return value === "" ? '""' : String(value);
}

/** Of a URL only where it leads: chain endpoints have their keys in the path, the query or before the host. */
function showText(text: string): string {
  const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
  if (url === null) return text;
  const isPlain = url.username === "" && url.password === "" && url.pathname === "/" && url.search === "";
  return isPlain ? text : `${url.origin}/(secret)`;
}

function showExternalPlugin(
  plugin: { name: string; address?: string; command?: readonly string[]; protocol: string },
): string {
  if (plugin.address === undefined) return `${plugin.name}: ${(plugin.command ?? []).join(" ")}`;
  return `${plugin.name}=${plugin.protocol}@${plugin.address}`;
}
