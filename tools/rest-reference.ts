import {
  type ApiDocument,
  type Content,
  type Endpoint,
  endpointsOf,
  exampleOf,
  type Parameter,
  referenceOf,
  type Schema,
} from "../src/rest/docs-model.ts";
import { createRestApp } from "../src/rest/app.ts";
import { openApiDocument } from "../src/rest/openapi.ts";
import { DEFAULT_REST_LIMITS, type RestAppOptions } from "../src/rest/options.ts";

/** Failures that every call may end with, which are told once. */
const COMMON = new Set(["`unauthenticated`", "`permission_denied`", "`internal`"]);

/** The API's document as a node with everything switched on serves it. */
export function restDocument(): ApiDocument {
  return openApiDocument(createRestApp(unusedOptions()), { token: false }) as unknown as ApiDocument;
}

/** `docs/rest-api.md`: every call of the API, in Markdown, from the same document as `/v1/docs` of a running node. */
export function restReference(document: ApiDocument = restDocument()): string {
  const endpoints = endpointsOf(document);
  const parts = document.tags.flatMap(({ name, description }) => [
    `## ${name}\n\n${description ?? ""}`,
    ...endpoints.filter(({ operation }) => operation.tags.includes(name)).map((each) => section(each, document)),
  ]);
  return [
    "# REST API",
    "<!-- Generated from src/rest/ by `npm run gen`. -->",
    `${document.info.description}\n\nA running node serves this page at \`/v1/docs\` and the OpenAPI document at \`/v1/openapi.json\`.

Beside what is named, every call may fail with \`unauthenticated\` (401), \`permission_denied\` (403) and \`internal\` (500); [Errors](errors.md)
has all codes.`,
    ...parts,
    "## Values",
    ...Object.entries(document.components.schemas).map(([name, schema]) => valueText(name, schema, document)),
  ].join("\n\n") + "\n";
}

function section({ method, path, operation }: Endpoint, document: ApiDocument): string {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const answers = Object.entries(responses).filter(([, { description }]) => !COMMON.has(description)).map((
    [status, { description, content }],
  ) => {
    const media = Object.keys(content ?? {}).map((type) => `\`${type}\``).join(", ");
    return `- **${status}**${media === "" ? "" : ` ${media}`}: ${line(description)}`;
  });
  return [
    `### ${method.toUpperCase()} ${path}`,
    `${summary}.${description === undefined ? "" : `\n\n${description}`}`,
    ...(parameters.length === 0 ? [] : [parameters.map(parameterLine).join("\n")]),
    ...(requestBody === undefined ? [] : [bodyText(requestBody.content, "The body", document)]),
    answers.join("\n"),
    ...example(responses["200"]?.content ?? responses["201"]?.content ?? responses["202"]?.content, document),
  ].join("\n\n");
}

function parameterLine({ name, in: place, required, description, schema }: Parameter): string {
  const [first] = schema.examples ?? [];
  const shown = first === undefined || first === "" ? "" : `, such as \`${String(first)}\``;
  return `- \`${name}\` (${place}${required ? ", required" : ""}): ${line(description ?? "")}${shown}`;
}

function bodyText(content: Content, what: string, document: ApiDocument): string {
  const media = Object.keys(content).map((type) => `\`${type}\``).join(", ");
  return [`${what}: ${media}`, ...example(content, document)].join("\n\n");
}

/** A block with a value of the JSON of a content, if it has that. */
function example(content: Content | undefined, document: ApiDocument): string[] {
  const schema: Schema | undefined = content?.["application/json"]?.schema;
  if (schema === undefined) return [];
  return ["```json\n" + JSON.stringify(exampleOf(schema, document), null, 2) + "\n```"];
}

/** What the members of a value mean. */
function valueText(
  name: string,
  { description, properties = {}, required = [] }: Schema,
  document: ApiDocument,
): string {
  const referred = (schema: Schema) => document.components.schemas[referenceOf(schema) ?? ""]?.description;
  const members = Object.entries(properties).map(([member, schema]) => {
    const type = typeOf(schema);
    const kind = [...(type === "" ? [] : [type]), ...(required.includes(member) ? [] : ["may be absent"])].join(", ");
    return `- \`${member}\`${kind === "" ? "" : ` (${kind})`}: ${line(schema.description ?? referred(schema) ?? "")}`;
  });
  return [
    `### ${name}`,
    ...(description === undefined ? [] : [description]),
    ...(members.length > 0 ? [members.join("\n")] : []),
  ]
    .join("\n\n");
}

/** A type in a word or two; a value of this page by its name. */
function typeOf(schema: Schema): string {
  const reference = referenceOf(schema);
  if (reference !== undefined) return `[${reference}](#${reference.toLowerCase()})`;
  if (schema.items !== undefined) return `list of ${typeOf(schema.items) || "values"}`;
  if (schema.enum !== undefined) return schema.enum.map((word) => `\`${String(word)}\``).join(" or ");
  return typeof schema.type === "string" ? schema.type : "";
}

function line(text: string): string {
  return text.replace(/\s+/g, " ").replace(/\.$/, "");
}

/** Options of an application that is asked for its document only. */
function unusedOptions(): RestAppOptions {
  const unused: unknown = new Proxy(() => unused, {
    get: (_, name) => name === Symbol.toPrimitive ? () => 0 : unused,
  });
  return {
    ...Object.fromEntries(
      [
        "tasks",
        "plugins",
        "files",
        "shards",
        "node",
        "peers",
        "peerBook",
        "payments",
        "metrics",
        "log",
        "health",
        "backup",
      ]
        .map((name) => [name, unused]),
    ),
    limits: DEFAULT_REST_LIMITS,
    clock: { now: () => 0 },
    settings: () => [],
    alerts: () => [],
    reload: unused,
    stopping: AbortSignal.abort(),
    allowedOrigins: [],
    requester: "0x0000000000000000000000000000000000000000",
  } as unknown as RestAppOptions;
}
