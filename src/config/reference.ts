import { wrapText } from "./markdown.ts";
import { type Config, GROUP_TITLES } from "./schema.ts";
import { ENV_PREFIX, type Setting, SETTINGS } from "./settings.ts";
import { showValue } from "./text-form.ts";

/** The page `docs/configuration.md`, made from the schema. */
export function configReference(): string {
  const parts = [
    "# Configuration",
    "<!-- Generated from src/config/schema.ts by `npm run gen`. -->",
    wrapText(
      "A node starts without any configuration. Each value is taken from the first of these that has it: a flag of " +
        `\`velas-sphere node\`, an environment variable, the configuration file, the default. The file is the one that \`--config\` or \`${ENV_PREFIX}CONFIG\` ` +
        "names, else `config.json` in the working directory, else `config.json` in the data directory. A relative path is relative to the file that has " +
        "it, elsewhere to the working directory; `~/` is the home directory.",
    ),
    wrapText(
      "Unknown keys and wrong types are errors that name the key, the place and what it must be. `velas-sphere config print --sources` shows " +
        "the effective values and where each comes from; `velas-sphere config check` only checks; `velas-sphere config schema` writes a JSON Schema for editors.",
    ),
    wrapText(
      'Durations are numbers of milliseconds or texts such as `"30s"` (`ms`, `s`, `m`, `h`, `d`); sizes are numbers of bytes or texts such as `"64MiB"` ' +
        "(`B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`). In a flag or a variable, a list is separated by commas or is JSON.",
    ),
    "```json\n" + JSON.stringify(EXAMPLE, null, 2) + "\n```",
    wrapText(
      'A `config.json` of the original node (`{"node":{"plugin_target":"127.0.0.1:8082"}}`) works as it is: its plugin becomes the external plugin ' +
        "`external`, which is then the default one. Its other keys are passed over with a notice.",
    ),
  ];
  for (const group of Object.keys(GROUP_TITLES) as (keyof Config)[]) {
    parts.push(`## ${GROUP_TITLES[group]}: \`${group}\``);
    for (const setting of SETTINGS) if (setting.group === group) parts.push(...settingEntry(setting));
  }
  return parts.join("\n\n") + "\n";
}

/** What `config.example.json` holds: the values that one most likely sets. */
export const EXAMPLE = {
  node: { name: "my-node", dataDir: "./data" },
  tasks: { maxTimeoutMs: "5m", maxMemoryBytes: "256MiB" },
  plugins: { external: [{ name: "ocr", address: "127.0.0.1:8082" }] },
  log: { level: "warn" },
};

function settingEntry(setting: Setting): string[] {
  const shownDefault = setting.default === undefined ? "none" : `\`${showValue(setting, setting.default)}\``;
  const flags = [setting.shortFlag === undefined ? undefined : `--${setting.shortFlag}`, setting.flag]
    .filter((flag) => flag !== undefined).map((flag) => `\`${flag}\``).join(", ");
  const secret = setting.secret ? " It is never shown and has no flag, since other users can read command lines." : "";
  return [
    `### \`${setting.key}\``,
    wrapText(`${setting.description}.${secret}`),
    [
      `- Default: ${shownDefault}`,
      `- Value: ${setting.expectation}`,
      ...(flags === "" ? [] : [`- Flag: ${flags}`]),
      `- Variable: \`${setting.env}\``,
    ].map((line) => wrapText(line, "  ")).join("\n"),
  ];
}
