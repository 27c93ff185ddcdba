import * as z from "zod";
import { configSchema } from "./schema.ts";
import { settingMeta } from "./setting.ts";

/** The JSON Schema (draft 2020-12) of a configuration file, for editors: `"$schema": "./config.schema.json"`. */
export function configJsonSchema(): Record<string, unknown> {
  const file = configSchema.extend({ $schema: z.string().optional() });
  const schema = z.toJSONSchema(file, {
    io: "input",
    override: ({ zodSchema, jsonSchema }) => {
      const meta = settingMeta.get(zodSchema);
      if (meta?.default !== undefined) jsonSchema.default = meta.default as never;
    },
  });
  // Every key has a default, so a file need not have any.
  delete schema.required;
  for (const group of Object.values(schema.properties ?? {})) if (typeof group === "object") delete group.required;
  return { title: "Velas Sphere configuration", ...schema } as Record<string, unknown>;
}
