import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import { NodeError } from "../core/mod.ts";

/** Loaded with the first message that needs it: it brings a whole expression language, and a node starts faster and idles smaller without. */
let validator: Validator | undefined;
let loading: Promise<Validator> | undefined;

/** How many broken rules an error names; a list of a million bad entries must not make an answer of a million lines. */
const NAMED_VIOLATIONS = 8;

/**
 * Holds a message against the rules in its .proto file. Throws `invalid_argument` that names each field and the rule that it breaks;
 * a rule that cannot be evaluated is a fault of ours. Gives a promise only until the rules' evaluator is loaded.
 */
export function validate<D extends DescMessage>(schema: D, message: MessageShape<D>): Promise<void> | undefined {
  if (validator === undefined) return load().then((loaded) => check(loaded, schema, message));
  check(validator, schema, message);
  return undefined;
}

async function load(): Promise<Validator> {
  loading ??= import("@bufbuild/protovalidate").then(({ createValidator }) => createValidator());
  return validator = await loading;
}

function check<D extends DescMessage>(validator: Validator, schema: D, message: MessageShape<D>): void {
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return;
  if (result.kind === "error") throw result.error;
  const broken = result.violations.map((violation) => violation.toString());
  const named = broken.slice(0, NAMED_VIOLATIONS).join("; ");
  const more = broken.length > NAMED_VIOLATIONS ? ` and ${broken.length - NAMED_VIOLATIONS} more` : "";
  throw new NodeError("invalid_argument", `The request breaks the rules of ${schema.name}: ${named}${more}`, {
    data: { message: schema.typeName, violations: broken.length },
  });
}
