import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A page of the site. */
export interface NavPage {
  /** Below `docs/`. */
  readonly source: string;
  readonly title: string;
}

export interface NavGroup {
  readonly title: string;
  readonly pages: readonly NavPage[];
}

/** The pages whose place was chosen, in reading order. */
const CHOSEN: readonly NavGroup[] = [
  {
    title: "Begin",
    pages: [
      { source: "index.md", title: "Quick start" },
      { source: "concepts.md", title: "Concepts" },
      { source: "comparison.md", title: "Compared with the original" },
      { source: "faq.md", title: "Questions" },
    ],
  },
  {
    title: "Use",
    pages: [
      { source: "files.md", title: "Files" },
      { source: "files-api.md", title: "Files over HTTP" },
      { source: "payments.md", title: "Payments" },
      { source: "peers.md", title: "Peers" },
      { source: "plugin-guide.md", title: "Your first plugin" },
      { source: "plugins.md", title: "Plugins" },
      { source: "ml-plugin.md", title: "Machine learning" },
      { source: "text-plugin.md", title: "Languages and texts" },
    ],
  },
  {
    title: "Operate",
    pages: [
      { source: "operations.md", title: "Operations" },
      { source: "storage.md", title: "Storage" },
      { source: "security.md", title: "Security" },
      { source: "performance.md", title: "Performance" },
    ],
  },
  {
    title: "Reference",
    pages: [
      { source: "cli.md", title: "Command line" },
      { source: "rest-api.md", title: "REST API" },
      { source: "configuration.md", title: "Configuration" },
      { source: "errors.md", title: "Errors" },
    ],
  },
  {
    title: "Specification",
    pages: [
      { source: "protocol.md", title: "Protocol" },
      { source: "formats.md", title: "Formats" },
      { source: "contracts.md", title: "Contracts" },
    ],
  },
  {
    title: "Inside",
    pages: [
      { source: "architecture.md", title: "Architecture" },
      { source: "dependencies.md", title: "Dependencies" },
      { source: "decisions/fast-path.md", title: "Decision: fast path" },
      { source: "decisions/metering.md", title: "Decision: charges of metered modules" },
      { source: "decisions/openssl-on-deno.md", title: "Decision: OpenSSL on Deno" },
      { source: "decisions/http2.md", title: "Decision: HTTP/2" },
      { source: "decisions/plugin-host.md", title: "Decision: plugin host" },
      { source: "decisions/shard-store.md", title: "Decision: shard store" },
      { source: "decisions/shard-transport.md", title: "Decision: shard transport" },
      { source: "decisions/single-executable.md", title: "Decision: one executable" },
      { source: "decisions/task-receipts.md", title: "Decision: receipts of tasks" },
      { source: "decisions/warm-instances.md", title: "Decision: warm instances" },
    ],
  },
];

/** All pages of a folder of Markdown: those chosen, and at the end of the last group what is new, under its own title. */
export function navOf(folder: string): readonly NavGroup[] {
  const all = globSync("**/*.md", { cwd: folder }).map((name) => name.replaceAll("\\", "/")).sort();
  const chosen = new Set(CHOSEN.flatMap(({ pages }) => pages.map(({ source }) => source)));
  const found = all.filter((source) => !chosen.has(source)).map((source) => {
    const title = /^# (.+)$/m.exec(readFileSync(join(folder, source), "utf8"))?.[1] ?? source;
    return { source, title: source.startsWith("decisions/") ? `Decision: ${title}` : title };
  });
  return CHOSEN.map(({ title, pages }, i) => ({
    title,
    pages: [...pages.filter(({ source }) => all.includes(source)), ...i === CHOSEN.length - 1 ? found : []],
  }));
}
