/** The pages of the site in reading order. */
export interface NavPage {
  /** Below `docs/`. */
  readonly source: string;
  readonly title: string;
}

export interface NavGroup {
  readonly title: string;
  readonly pages: readonly NavPage[];
}

export const NAV: readonly NavGroup[] = [
  {
    title: "Begin",
    pages: [
      { source: "index.md", title: "Quick start" },
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
      { source: "plugins.md", title: "Plugins" },
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
      { source: "decisions/plugin-host.md", title: "Decision: plugin host" },
      { source: "decisions/shard-store.md", title: "Decision: shard store" },
      { source: "decisions/single-executable.md", title: "Decision: one executable" },
      { source: "decisions/warm-instances.md", title: "Decision: warm instances" },
    ],
  },
];
