import { NodeError, type PluginFunction } from "../core/mod.ts";

/** What an external plugin says of itself. */
export interface ExternalManifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** At least one. */
  readonly functions: readonly PluginFunction[];
  /** Executions at once; 0 means as many as the node likes. */
  readonly maxConcurrency: number;
  /** Whether it works on the GPU. */
  readonly gpu: boolean;
}

const MAX_FUNCTIONS = 1000;
const MAX_DESCRIPTION = 4096;
const FUNCTION_NAME = /^[\x21-\x7e]{1,128}$/;
const CONTENT_TYPE = /^[\x20-\x7e]{0,255}$/;
const VERSION = /^\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z.-]{1,64})?(\+[0-9A-Za-z.-]{1,64})?$/;

/** The one function of a plugin that speaks the original protocol. */
export const ORIGINAL_FUNCTION: PluginFunction = {
  name: "run",
  inputContentType: "text/plain; charset=utf-8",
  outputContentType: "text/plain; charset=utf-8",
  description: "Runs the plugin on a text.",
};

/** What is known of a plugin that speaks the original protocol, which has no way to ask. */
export const ORIGINAL_MANIFEST: ExternalManifest = {
  name: "",
  version: "0.0.0",
  description: "A plugin of the original node.",
  functions: [ORIGINAL_FUNCTION],
  maxConcurrency: 0,
  gpu: false,
};

/** Checks what a plugin said of itself, by the same rules as a WASM plugin's manifest. Throws `plugin_failed` naming what breaks them. */
export function checkExternalManifest(manifest: ExternalManifest): ExternalManifest {
  if (!VERSION.test(manifest.version)) throw invalid(`its version "${shown(manifest.version)}" is no semantic version`);
  const { functions } = manifest;
  if (functions.length === 0 || functions.length > MAX_FUNCTIONS) {
    throw invalid(`it lists ${functions.length} functions; 1 to ${MAX_FUNCTIONS} are allowed`);
  }
  const names = new Set<string>();
  for (const fn of functions) {
    if (!FUNCTION_NAME.test(fn.name)) throw invalid(`"${shown(fn.name)}" is no name of a function`);
    if (names.has(fn.name)) throw invalid(`it lists the function "${fn.name}" twice`);
    names.add(fn.name);
    for (const type of [fn.inputContentType, fn.outputContentType]) {
      if (!CONTENT_TYPE.test(type)) throw invalid(`"${shown(type)}" is no media type`);
    }
    if (fn.description.length > MAX_DESCRIPTION) throw invalid(`the description of "${fn.name}" is too long`);
  }
  if (manifest.description.length > MAX_DESCRIPTION) throw invalid("its description is too long");
  return manifest;
}

function shown(text: string): string {
  return text.slice(0, 80);
}

function invalid(what: string): NodeError {
  return new NodeError("plugin_failed", `What the plugin says of itself cannot be used: ${what}`);
}
