import type { Command } from "commander";
import { configJsonSchema, type LoadedConfig, SETTINGS, showSource, showValue, valueOf } from "../config/mod.ts";
import { withExamples, withOutputOptions } from "./command.ts";
import type { CliContext } from "./context.ts";
import { loadFor, type SettingFlags, showNotices, withSettingOptions } from "./settings-options.ts";
import { formatTable } from "./terminal.ts";

interface PrintFlags {
  readonly sources?: boolean;
  readonly json?: boolean;
}

/** `velas-sphere config …` */
export function addConfigCommands(program: Command, cli: CliContext): void {
  const config = program.command("config").summary("show and check the configuration").description(
    "Show and check the configuration that a node would start with here. Takes every option of velas-sphere node.",
  );

  withExamples(
    withSettingOptions(withOutputOptions(config.command("print").summary("show the effective configuration")), {
      hidden: true,
    })
      .description("Show the effective configuration. Secrets are not shown.")
      .option("--sources", "show where each value comes from")
      .action((flags: SettingFlags & PrintFlags) => {
        const loaded = loadFor(cli, flags);
        showNotices(loaded, cli);
        print(loaded, flags, cli);
      }),
    ["velas-sphere config print --sources", "which flag, variable or file set what"],
    ["velas-sphere config print --json", "for programs"],
  );

  withExamples(
    withSettingOptions(withOutputOptions(config.command("check").summary("check the configuration")), { hidden: true })
      .description("Check the configuration and say everything that is wrong with it.")
      .action((flags: SettingFlags & PrintFlags) => {
        const loaded = loadFor(cli, flags);
        const { file, notices } = loaded;
        showNotices(loaded, cli);
        if (flags.json === true) cli.out.line(JSON.stringify({ ok: true, file: file ?? null, notices }));
        else {cli.out.line(
            file === undefined ? "The configuration is right (no file, so defaults)" : `${file} is right`,
          );}
      }),
    ["velas-sphere config check --config node.json", "exit code 3 when it is wrong"],
  );

  withExamples(
    config.command("schema").summary("print a JSON Schema for editors")
      .description('Print the JSON Schema of config.json. With "$schema" in the file, editors complete and check it.')
      .action(() => cli.out.line(JSON.stringify(configJsonSchema(), null, 2))),
    ["velas-sphere config schema > config.schema.json", 'then in config.json: "$schema": "./config.schema.json"'],
  );
}

function print({ config, sources, file }: LoadedConfig, flags: PrintFlags, { out }: CliContext): void {
  if (flags.json === true) {
    const values: Record<string, Record<string, unknown>> = {};
    for (const setting of SETTINGS) {
      const value = valueOf(config, setting.key);
      if (value !== undefined) {
        (values[setting.group] ??= {})[setting.name] =
          setting.secret || setting.key === "payments.rpcUrls" && (value as string[]).length > 0
            ? (setting.secret ? "(secret)" : showValue(setting, value).split(", "))
            : value;
      }
    }
    const bySource = Object.fromEntries([...sources].map(([key, source]) => [key, showSource(source)]));
    out.line(
      JSON.stringify(
        flags.sources === true ? { config: values, sources: bySource, file: file ?? null } : values,
        null,
        2,
      ),
    );
    return;
  }
  const { bold, dim } = out.colors;
  const rows = SETTINGS.map((setting) => {
    const source = sources.get(setting.key)!;
    const value = showValue(setting, valueOf(config, setting.key));
    const shown = source.layer === "default" ? dim(value) : bold(value);
    return flags.sources === true ? [setting.key, shown, dim(showSource(source))] : [setting.key, shown];
  });
  for (const line of formatTable(rows)) out.line(line);
}
