/**
 * The configuration. `schema.ts` is its one source: each key has a type, default, unit and description there, and from these
 * come the flags of `velas-sphere node`, the environment names, `docs/configuration.md` and the JSON Schema. {@link loadConfig} merges the
 * layers key by key (flag over environment over file over default), turns a file of the original node into one of this, and checks the
 * whole; whatever is wrong is told at once, with key, place, value and expectation.
 */
export { type Address, isLoopback, parseAddress } from "./address.ts";
export { type ConfigChanges, configChanges, withLiveSettings } from "./changes.ts";
export { valueOf } from "./check.ts";
export { servesOwnCertificate, speaksTls, TLS_GROUPS, type TlsGroup } from "./exposure.ts";
export { type DataPaths, dataPaths } from "./data-paths.ts";
export { effectiveSettings, type EffectiveValue } from "./effective.ts";
export { configJsonSchema } from "./json-schema.ts";
export {
  defaultConfig,
  type Layer,
  loadConfig,
  type LoadedConfig,
  type LoadOptions,
  showSource,
  type ValueSource,
} from "./load.ts";
export { formatMarkdownTable, wrapText } from "./markdown.ts";
export { configReference, EXAMPLE } from "./reference.ts";
export type { ExternalPlugin } from "./groups/plugins.ts";
export { type Config, GROUP_TITLES } from "./schema.ts";
export { ENV_PREFIX, type Setting, SETTING_BY_KEY, SETTINGS } from "./settings.ts";
export { closest } from "./suggest.ts";
export { showValue } from "./text-form.ts";
export { readTokenEntries, type TokenEntry, tokensOf } from "./tokens-file.ts";
export { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";
