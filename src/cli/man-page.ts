import type { Command } from "commander";
import { VERSION } from "../core/mod.ts";
import { examplesOf } from "./command.ts";
import { EXIT, EXIT_MEANINGS } from "./exit-codes.ts";
import { leaves, pathOf, quietProgram, tellsOption } from "./reference.ts";

/** The page `docs/man/velas-sphere.1` (man(7)), made from the commands themselves. */
export function manPage(): string {
  const program = quietProgram();
  const lines = [
    '.\\" Generated from src/cli by "npm run gen".',
    `.TH VELAS-SPHERE 1 "" "Velas Sphere ${VERSION}" "User Commands"`,
    ".SH NAME",
    "velas\\-sphere \\- a peer\\-to\\-peer edge node that shares compute and storage",
    ".SH SYNOPSIS",
    ".B velas\\-sphere",
    ".I command",
    "[options]",
    ".SH DESCRIPTION",
    roff(program.description()),
    ".SH COMMANDS",
    ...leaves(program).flatMap(commandLines),
    ".SH ENVIRONMENT",
    ".TP",
    ".B VELAS_SPHERE_URL, VELAS_SPHERE_TOKEN",
    "The node that commands ask, and its REST token.",
    ".TP",
    ".B VELAS_SPHERE_GROUP_KEY",
    "Each setting of a node, such as VELAS_SPHERE_REST_LISTEN for rest.listen; see docs/configuration.md.",
    ".TP",
    ".B NO_COLOR",
    "No colours.",
    ".SH EXIT STATUS",
    ...Object.entries(EXIT).flatMap(([name, code]) => [
      ".TP",
      `.B ${code}`,
      roff(EXIT_MEANINGS[name as keyof typeof EXIT]),
    ]),
  ];
  return lines.filter((line) => line !== "").join("\n") + "\n";
}

function commandLines(command: Command): string[] {
  const help = command.createHelp();
  const args = command.registeredArguments.map((each) => each.required ? `<${each.name()}>` : `[${each.name()}]`);
  const named = command.registeredArguments.map((each) =>
    [`<${each.name()}>`, help.argumentDescription(each)] as const
  );
  const options = command.options.filter(tellsOption).map((each) =>
    [each.flags, help.optionDescription(each)] as const
  );
  const examples = examplesOf(command);
  return [
    `.SS "${roff([pathOf(command), ...args].join(" "))}"`,
    roff(command.description()),
    ...[...named, ...options].flatMap(([name, meaning]) => [".TP", `.B ${roff(name)}`, roff(meaning)]),
    ...(examples.length === 0 ? [] : [".PP", ".nf", ".RS"]),
    ...examples.flatMap(([line, meaning]) => [roff(`# ${meaning}`), roff(line)]),
    ...(examples.length === 0 ? [] : [".RE", ".fi"]),
  ];
}

/** A text as roff takes it literally: no control line, no escapes but ours. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq").split("\n")
    .map((line) => /^[.']/.test(line) ? `\\&${line}` : line).join("\n");
}
