import { PassThrough } from "node:stream";
import type { Command, Option } from "commander";
import { formatMarkdownTable, wrapText } from "../config/mod.ts";
import { examplesOf } from "./command.ts";
import type { CliContext } from "./context.ts";
import { EXIT, EXIT_CODES, EXIT_MEANINGS } from "./exit-codes.ts";
import { createProgram } from "./program.ts";
import { createScreen } from "./terminal.ts";

/** The page `docs/cli.md`, made from the commands themselves. */
export function cliReference(): string {
  const program = quietProgram();
  const commands = leaves(program);
  const parts = [
    "# Commands",
    "<!-- Generated from src/cli by `npm run gen`. -->",
    formatMarkdownTable([
      ["Command", "What it does"],
      ...commands.map((command) => [`[\`${pathOf(command)}\`](#${anchor(pathOf(command))})`, command.summary()]),
    ]),
    wrapText(
      "Every command takes `--help`. Commands that ask a node take `--url` (or `VELAS_SPHERE_URL`), `--token-file` (or " +
        "`VELAS_SPHERE_TOKEN`), `--json` and `--verbose`. Results go to standard output, everything else to standard error. Colours " +
        "and progress are shown on a terminal only; `NO_COLOR` switches colours off.",
    ),
    ...commands.flatMap(section),
    "## Exit codes",
    formatMarkdownTable([
      ["Code", "Meaning", "Errors"],
      ...Object.entries(EXIT).map(([name, code]) => [
        String(code),
        EXIT_MEANINGS[name as keyof typeof EXIT],
        Object.entries(EXIT_CODES).filter(([, each]) => each === code).map(([error]) => `\`${error}\``).join(", "),
      ]),
    ]),
  ];
  return parts.join("\n\n") + "\n";
}

/** Every command that does something, and every example of its help. */
export function allExamples(): { command: string; line: string }[] {
  return leaves(quietProgram()).flatMap((command) =>
    examplesOf(command).map(([line]) => ({ command: pathOf(command), line }))
  );
}

function section(command: Command): string[] {
  const help = command.createHelp();
  const takesSettings = command.options.some((option) =>
    option.long === "--rpc-listen" || option.long === "--node-data-dir"
  );
  const options = command.options.filter(tellsOption);
  const rows = [
    ...command.registeredArguments.map((
      each,
    ) => [`\`${each.required ? `<${each.name()}>` : `[${each.name()}]`}\``, help.argumentDescription(each)]),
    ...options.map((each) => [`\`${each.flags}\``, help.optionDescription(each)]),
  ];
  return [
    `## ${pathOf(command)}`,
    wrapText(command.description()),
    "```sh\n" + examplesOf(command).map(([line, meaning]) => `${line} # ${meaning}`).join("\n") + "\n```",
    ...(takesSettings ? ["Takes a flag for every key of the [configuration](configuration.md)."] : []),
    ...(rows.length === 0 ? [] : [formatMarkdownTable([["Argument or option", "Meaning"], ...rows])]),
  ];
}

/** The options that `withSettingOptions` makes are told in the configuration's own page. */
function isSettingOption(option: Option): boolean {
  return option.helpGroupHeading !== undefined &&
    !["Connection:", "Output:", "Configuration:"].includes(option.helpGroupHeading);
}

/** Whether the pages of a command tell of an option. */
export function tellsOption(option: Option): boolean {
  return !option.hidden && !isSettingOption(option);
}

/** A command and those below it, as far as they do something themselves: `plugin` does, and so does `plugin media`. */
export function leaves(command: Command): Command[] {
  const acts = command.commands.length === 0 || examplesOf(command).length > 0;
  return [...acts ? [command] : [], ...command.commands.flatMap(leaves)];
}

/** How a command is called: `velas-sphere task run`. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function anchor(heading: string): string {
  return heading.replaceAll(" ", "-");
}

/** The commands, to be looked at only. */
export function quietProgram(): Command {
  return createProgram(quietContext());
}

function quietContext(): CliContext {
  const screen = createScreen(new PassThrough(), {});
  return {
    out: screen,
    err: screen,
    stdin: new PassThrough(),
    env: {},
    cwd: "/",
    homeDir: "/",
    interrupted: new AbortController().signal,
    programName: "velas-sphere",
    exitCode: EXIT.ok,
    onFault: undefined,
    onHangup: undefined,
  };
}
