import { Command, CommanderError } from "commander";
import { FULL_VERSION, NodeError } from "../core/mod.ts";
import { addBackupCommands } from "./backup-commands.ts";
import { addCompletionsCommand } from "./completions.ts";
import { addConfigCommands } from "./config-commands.ts";
import type { CliContext } from "./context.ts";
import { addDevCommand } from "./dev-command.ts";
import { addDoctorCommand } from "./doctor.ts";
import { EXIT, EXIT_MEANINGS } from "./exit-codes.ts";
import { addFileCommands } from "./file-commands.ts";
import { addInfoCommands, addVersionCommand } from "./info-commands.ts";
import { addNodeCommand } from "./node-command.ts";
import { addPluginCommand } from "./plugin-command.ts";
import { addPeersCommands } from "./peers-commands.ts";
import { addPaymentsCommands } from "./payments-commands.ts";
import { addPluginsCommands } from "./plugins-commands.ts";
import { reportError } from "./report-error.ts";
import { addShardsCommands } from "./shards-commands.ts";
import { addTaskCommands } from "./task-commands.ts";
import { addTokenCommand } from "./token-command.ts";

/** The tree of all commands. */
export function createProgram(cli: CliContext): Command {
  const { out, err } = cli;
  const program = new Command("velas-sphere");
  program
    .description("A peer-to-peer edge node that shares compute and storage for pay.")
    .version(FULL_VERSION, "-V, --version", "show the version")
    .helpOption("-h, --help", "show help")
    .enablePositionalOptions() // so that --version behind a command is that command's
    .exitOverride()
    .configureOutput({
      writeOut: (text) => out.write(text),
      writeErr: (text) => err.write(text),
      outputError: () => {}, // runCli tells it
      getOutHelpWidth: () => Math.min(out.columns, 120),
      getErrHelpWidth: () => Math.min(err.columns, 120),
      getOutHasColors: () => out.colors.bold("x") !== "x",
      getErrHasColors: () => err.colors.bold("x") !== "x",
    })
    .configureHelp({
      styleTitle: (text) => out.colors.bold(text),
      styleCommandText: (text) => out.colors.cyan(text),
      styleSubcommandText: (text) => out.colors.cyan(text),
      styleOptionText: (text) => out.colors.cyan(text),
      styleArgumentText: (text) => out.colors.cyan(text),
    });

  program.commandsGroup("Serve:");
  addNodeCommand(program, cli);
  addPluginCommand(program, cli);
  addDevCommand(program, cli);
  program.commandsGroup("Ask a node:");
  addTaskCommands(program, cli);
  addFileCommands(program, cli);
  addPluginsCommands(program, cli);
  addPeersCommands(program, cli);
  addPaymentsCommands(program, cli);
  addShardsCommands(program, cli);
  addInfoCommands(program, cli);
  program.commandsGroup("This machine:");
  addBackupCommands(program, cli);
  addDoctorCommand(program, cli);
  addConfigCommands(program, cli);
  addTokenCommand(program, cli);
  addCompletionsCommand(program, cli);
  addVersionCommand(program, cli);
  for (const command of [program, ...program.commands.filter(({ commands }) => commands.length > 0)]) {
    command.helpCommand("help [command]", "show help for a command");
  }
  program.addHelpText(
    "after",
    () => {
      const codes = Object.entries(EXIT)
        .map(([name, code]) => `  ${String(code).padStart(3)}  ${EXIT_MEANINGS[name as keyof typeof EXIT]}`);
      return ["\nExit codes:", ...codes, "\nTry: velas-sphere dev"].join("\n");
    },
  );
  return program;
}

/** Runs one command line, without the program's name, and returns the exit code. Whatever goes wrong is told on `cli.err`. */
export async function runCli(args: readonly string[], cli: CliContext): Promise<number> {
  const program = createProgram(cli);
  if (args.length === 0) {
    program.outputHelp();
    return EXIT.ok;
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return cli.exitCode;
  } catch (error) {
    const words = args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
    const options = { verbose: words.includes("--verbose"), json: words.includes("--json") };
    if (!(error instanceof CommanderError)) return reportError(error, cli.err, options);
    if (error.exitCode === 0) return EXIT.ok;
    if (error.code === "commander.help") return EXIT.usage; // a group without a command: help was shown
    return reportError(usageError(error, deepestCommand(program, args)), cli.err, options);
  }
}

/** A parser's complaint as one sentence with its cure. */
function usageError({ message }: CommanderError, command: string): NodeError {
  const [complaint = "", hint] = message.replace(/^error: /, "").split("\n");
  const what = complaint.replaceAll(/'([^']*)'/g, '"$1"').replace(/^./, (letter) => letter.toUpperCase()).replace(
    /\.$/,
    "",
  );
  const meant = hint?.match(/^\(Did you mean (?:one of )?(.*)\?\)$/)?.[1];
  const cure = meant === undefined ? `see ${command} --help` : `did you mean ${meant}?`;
  return new NodeError("invalid_argument", `${what}: ${cure}`);
}

/** The command that the first words name, as one would type it. */
function deepestCommand(program: Command, args: readonly string[]): string {
  let command = program;
  let path = program.name();
  for (const word of args) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    command = next;
    path += ` ${word}`;
  }
  return path;
}
