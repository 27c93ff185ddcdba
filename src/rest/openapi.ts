import { z } from "@hono/zod-openapi";
import type { ErrorCode } from "../core/mod.ts";
import { VERSION } from "../core/mod.ts";
import { PROBLEM_TYPE, PROBLEMS } from "./problem.ts";
import { SCOPES_MEMBER } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { ProblemSchema } from "./problem-schema.ts";

/** The groups of routes, in the order of the document. */
export const TAGS = [
  { name: "Tasks", description: "Run plugin functions: at once, as a stream, or in the background." },
  { name: "Files", description: "Keep files, encrypted and spread over other nodes, and read any part of them." },
  { name: "Payments", description: "Prices, payment channels, and what was spent and earned." },
  { name: "Plugins", description: "See, install and switch what the node can run." },
  { name: "Peers", description: "Other nodes that this one knows, and how they did." },
  { name: "Node", description: "Who a node is and what it offers." },
  { name: "Operations", description: "For supervisors, monitoring, and those who read." },
  { name: "Compatibility", description: "The calls of Velas Sphere Node, as its clients know them." },
] as const;

const INTRODUCTION = `Everything that a Velas Sphere node does for its owner, over HTTP.

Failed calls answer with a problem (RFC 9457) whose \`code\` is one of a closed set. Every answer carries an
\`X-Request-Id\`, yours if you send one, which names the call in the logs of all nodes that it touched.

On a node that wants tokens, a call needs one with any one of the scopes that \`x-scopes\` names, or any token when it names
none. The scope \`read\` alone does not reach other nodes (\`target\`).`;

type Document = ReturnType<RestApp["getOpenAPI31Document"]>;

/** The OpenAPI 3.1 document of all registered routes. */
export function openApiDocument(app: RestApp, { token }: { readonly token: boolean }): Document {
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Velas Sphere node",
      version: VERSION,
      description: INTRODUCTION,
      license: { name: "MIT" },
    },
    servers: [{ url: "/", description: "This node" }],
    tags: TAGS.map((tag) => ({ ...tag })),
  });
  return token ? withSecurity(document) : document;
}

/** The document of a node that wants tokens: each operation names those that open it, one alternative for each scope. */
function withSecurity(document: Document): Document {
  const operationWithSecurity = (operation: object) => {
    const scopes = (operation as { [SCOPES_MEMBER]?: readonly string[] })[SCOPES_MEMBER] ?? [];
    return scopes.length === 0 ? operation : { ...operation, security: scopes.map((scope) => ({ token: [scope] })) };
  };
  const paths = Object.entries(document.paths ?? {}).map(([path, methods]) => [
    path,
    Object.fromEntries(
      Object.entries(methods as Record<string, object>).map((
        [method, operation],
      ) => [method, operationWithSecurity(operation)]),
    ),
  ]);
  return {
    ...document,
    paths: Object.fromEntries(paths),
    components: { ...document.components, securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    security: [{ token: [] }],
  };
}

/** A request body in JSON. */
export function jsonBody<S extends z.ZodType>(schema: S) {
  return { required: true, content: { "application/json": { schema } } } as const;
}

/** An answer in JSON. */
export function jsonContent<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { "application/json": { schema } } } as const;
}

/** Bytes of the given media type, with an example that happens to be text. */
export function binaryContent<T extends string>(mediaType: T, example: string) {
  return {
    [mediaType]: { schema: z.string().openapi({ format: "binary", description: "Raw bytes.", examples: [example] }) },
  } as Record<T, { schema: z.ZodString }>;
}

/** Codes that every route may answer with; 405 and 404 of unknown routes apart. */
export const COMMON_FAILURES: readonly ErrorCode[] = ["unauthenticated", "permission_denied", "internal"];

interface FailureResponse {
  description: string;
  content: { [PROBLEM_TYPE]: { schema: typeof ProblemSchema } };
}

/** The failed answers of a route, by the codes that are worth telling; those of every route are added. */
export function failures(...codes: readonly ErrorCode[]): Record<number, FailureResponse> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of [...codes, ...COMMON_FAILURES]) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].sort(([a], [b]) => a - b).map(([status, all]) => [status, {
      description: all.map((code) => `\`${code}\``).join(", "),
      content: { [PROBLEM_TYPE]: { schema: ProblemSchema } },
    }]),
  );
}
