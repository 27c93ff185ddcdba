import { type Command, Option } from "commander";
import { GROUP_TITLES, loadConfig, type LoadedConfig, type Setting, SETTINGS, showValue } from "../config/mod.ts";
import type { CliContext } from "./context.ts";

/** What the flags of {@link withSettingOptions} give: their values by commander's names, and the file. */
export type SettingFlags = Readonly<Record<string, unknown>> & { readonly config?: string };

/** Adds `--config` and a flag for each setting. Hidden ones work the same, for commands whose help they would drown. */
export function withSettingOptions(command: Command, { hidden = false } = {}): Command {
  command.addOption(
    new Option(
      "--config <path>",
      "configuration file (VELAS_SPHERE_CONFIG, else config.json here or in the data directory)",
    )
      .helpGroup("Configuration:"),
  );
  for (const setting of SETTINGS) {
    if (setting.flag !== undefined) command.addOption(optionOf(setting).hideHelp(hidden));
  }
  return command;
}

/** The effective configuration that flags, environment and file give. */
export function loadFor(cli: CliContext, flags: SettingFlags): LoadedConfig {
  const byKey: Record<string, string | boolean> = {};
  for (const setting of SETTINGS) {
    if (setting.flag === undefined) continue;
    const value = flags[optionOf(setting).attributeName()];
    if (typeof value === "string" || typeof value === "boolean") byKey[setting.key] = value;
    else if (Array.isArray(value)) byKey[setting.key] = value.join(",");
  }
  return loadConfig({ flags: byKey, configFile: flags.config, env: cli.env, cwd: cli.cwd, homeDir: cli.homeDir });
}

/** Tells the operator what the configuration's loading noticed. */
export function showNotices({ notices }: LoadedConfig, { err }: CliContext): void {
  for (const notice of notices) err.line(`${err.colors.yellow("note:")} ${notice}`);
}

function optionOf(setting: Setting): Option {
  const names = setting.shortFlag === undefined ? setting.flag! : `--${setting.shortFlag}, ${setting.flag}`;
  // The first sentence says what it does; the reference page has the rest.
  const [meaning = ""] = setting.description.split(". ");
  const shownDefault = setting.default === undefined ? "" : ` (default: ${showValue(setting, setting.default)})`;
  const option = new Option(`${names} ${placeholder(setting)}`, meaning + shownDefault);
  option.helpGroup(`${GROUP_TITLES[setting.group]}:`);
  // Commander names a pair of long flags after the first one.
  if (isList(setting)) option.argParser((text: string, earlier?: string[]) => [...earlier ?? [], text]);
  return option;
}

function placeholder(setting: Setting): string {
  switch (setting.kind) {
    case "boolean":
      return "[true|false]";
    case "integer":
      return "<number>";
    case "address":
      return "<host:port>";
    case "addresses":
      return "<host:port,...>";
    case "texts":
      return "<text,...>";
    case "externalPlugins":
      return "<name=host:port,...>";
    case "choice":
      return "<word>";
    default:
      return `<${setting.kind}>`;
  }
}

function isList({ kind }: Setting): boolean {
  return kind === "addresses" || kind === "texts" || kind === "externalPlugins";
}
