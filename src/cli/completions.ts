import { Argument, type Command, type Option } from "commander";
import { withExamples } from "./command.ts";
import type { CliContext } from "./context.ts";

/** What can follow one command. */
interface Level {
  /** The words before: empty for the program, `task run` for a subcommand. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly meaning: string }[];
  /** Whether only a subcommand can follow, and so no file. */
  readonly hasSubcommands: boolean;
}

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

/** `velas-sphere completions` */
export function addCompletionsCommand(program: Command, cli: CliContext): void {
  const shells = Object.keys(SHELLS) as (keyof typeof SHELLS)[];
  withExamples(
    program.command("completions").summary("print a completion script for your shell")
      .description("Print a script that completes commands and options in bash, zsh or fish.")
      .addArgument(new Argument("<shell>", "the shell").choices(shells))
      .action((shell: keyof typeof SHELLS) => cli.out.write(SHELLS[shell](levelsOf(program)))),
    ["source <(velas-sphere completions bash)", "in ~/.bashrc"],
    ["source <(velas-sphere completions zsh)", "in ~/.zshrc, after compinit"],
    ["velas-sphere completions fish > ~/.config/fish/completions/velas-sphere.fish", "once"],
  );
}

/** Every command with what can follow it: its subcommands, its options, the choices of its arguments. */
function levelsOf(program: Command): Level[] {
  const levels: Level[] = [];
  const visit = (command: Command, path: string): void => {
    const help = command.createHelp();
    const words = [
      ...help.visibleCommands(command).map((sub) => ({
        word: sub.name(),
        meaning: sub.summary() || sub.description(),
      })),
      ...command.registeredArguments.flatMap((argument) => argument.argChoices ?? [])
        .map((word) => ({ word, meaning: "" })),
      ...help.visibleOptions(command).flatMap(optionWords),
    ];
    levels.push({ path, words, hasSubcommands: command.commands.length > 0 });
    for (const sub of command.commands) visit(sub, path === "" ? sub.name() : `${path} ${sub.name()}`);
  };
  visit(program, "");
  return levels;
}

function optionWords(option: Option): Level["words"] {
  // The first sentence, without its default.
  const [meaning = ""] = option.description.split(/[.;(]/);
  // An option with two long names has the shorter one in the place of its letter.
  const names = [option.short, option.long].filter((name) => name?.startsWith("--") === true) as string[];
  return names.map((word) => ({ word, meaning: meaning.trim() }));
}

function bashScript(levels: readonly Level[]): string {
  return `# bash completion for velas-sphere
_velas_sphere() {
  local path="" word i words=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$path $word" in
      ${pathPatterns(levels)}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${levels.map(({ path, words }) => `    "${path}") words="${words.map(({ word }) => word).join(" ")}" ;;`).join("\n")}
  esac
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _velas_sphere velas-sphere
`;
}

function zshScript(levels: readonly Level[]): string {
  const item = ({ word, meaning }: Level["words"][number]) => quote(meaning === "" ? word : `${word}:${meaning}`);
  return `#compdef velas-sphere
# zsh completion for velas-sphere
_velas_sphere() {
  local at="" word
  local -a items
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      ${pathPatterns(levels)}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at" in
${levels.map(({ path, words }) => `    "${path}") items=(${words.map(item).join(" ")}) ;;`).join("\n")}
  esac
  _describe -t commands velas-sphere items || _files
}
compdef _velas_sphere velas-sphere
`;
}

function fishScript(levels: readonly Level[]): string {
  const lines = levels.flatMap(({ path, words, hasSubcommands }) => {
    const there = `complete -c velas-sphere -n '__velas_sphere_at "${path}"'`;
    const completions = words.map(({ word, meaning }) => {
      const kind = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
      return `${there} ${kind} -d ${quote(meaning)}`;
    });
    return hasSubcommands ? [`${there} -f`, ...completions] : completions;
  });
  return `# fish completion for velas-sphere
function __velas_sphere_at
  set -l at ""
  set -l tokens (commandline -opc)
  for word in $tokens[2..-1]
    switch "$at $word"
      case ${pathsOf(levels).map((path) => `'${path}'`).join(" ")}
        set at (string trim -- "$at $word")
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join("\n")}
`;
}

/** The places where a word leads one command deeper: `" task"`, `"task run"`. */
function pathsOf(levels: readonly Level[]): string[] {
  return levels.filter(({ path }) => path !== "").map(({ path }) => path.includes(" ") ? path : ` ${path}`);
}

function pathPatterns(levels: readonly Level[]): string {
  return pathsOf(levels).map((path) => `"${path}"`).join(" | ");
}

/** A text in single quotes, safe in all three shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "\u2019").replaceAll(/[\\\n]/g, " ")}'`;
}
