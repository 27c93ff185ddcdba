import { MANIFEST_SECTION } from "./plugin-manifest.ts";
import { joinSections, SECTION, splitSections, WasmReader, WasmWriter } from "./wasm-binary.ts";
import type { Section } from "./wasm-binary.ts";

/**
 * A module with this manifest (JSON in UTF-8) in it, in place of one that it may have had, so that one file is a whole plugin. The
 * manifest is not looked at; `prepareModule` checks it. Throws `module_invalid` for what is no module.
 */
export function packPlugin(module: Uint8Array, manifest: Uint8Array): Uint8Array<ArrayBuffer> {
  const body = new WasmWriter(manifest.length + 32).name(MANIFEST_SECTION).bytes(manifest).finish();
  return joinSections([...splitSections(module).filter((section) => !isManifest(section)), {
    id: SECTION.custom,
    body,
  }]);
}

function isManifest({ id, body }: Section): boolean {
  return id === SECTION.custom && new WasmReader(body).name() === MANIFEST_SECTION;
}
