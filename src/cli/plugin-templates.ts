/** A language's template: a folder of the project, and those of its files that a new plugin begins from. */
interface Template {
  readonly folder: string;
  /** Where its files name the plugin, which the new name takes the place of. */
  readonly name: RegExp;
  readonly files: readonly string[];
  /** Files of the project, by their path, that go into the plugin's folder beside those. */
  readonly shared?: readonly string[];
}

export interface TemplateFile {
  readonly path: string;
  readonly content: string;
  readonly executable: boolean;
}

const COMMON = ["README.md", "build.sh", "cases.json", "manifest.json"];
const COMMON_GRPC = ["README.md", "build.sh", "run.sh", "cases.json"];
const PROTO = ["grpc-plugins/plugin.proto"];

/** What `plugins new` can write, by language. */
export const TEMPLATES: Readonly<Record<string, Template>> = {
  rust: {
    folder: "wasm-plugins/demo",
    name: /\bdemo(?=\.wasm|")|(?<=task run )demo/g,
    files: [...COMMON, "Cargo.toml", "src/lib.rs"],
  },
  go: { folder: "wasm-plugins/demo-go", name: /demo-go/g, files: [...COMMON, "go.mod", "go.sum", "main.go"] },
  assemblyscript: { folder: "wasm-plugins/demo-as", name: /demo-as/g, files: [...COMMON, "plugin.ts", "velas.ts"] },
  "go-grpc": {
    folder: "grpc-plugins/demo-go",
    name: /demo-go-grpc/g,
    files: [
      ...COMMON_GRPC,
      "go.mod",
      "go.sum",
      "main.go",
      "velas/serve.go",
      "velas/plugin.pb.go",
      "velas/plugin_grpc.pb.go",
    ],
    shared: PROTO,
  },
  python: {
    folder: "grpc-plugins/demo-python",
    name: /demo-python/g,
    files: [...COMMON_GRPC, "requirements.txt", "plugin.py", "velas_plugin.py"],
    shared: PROTO,
  },
  typescript: {
    folder: "grpc-plugins/demo-typescript",
    name: /demo-typescript/g,
    files: [
      ...COMMON_GRPC,
      "package.json",
      "plugin.ts",
      "velas.ts",
      ...["health_pb", "plugin_pb"].flatMap((name) => [`gen/${name}.js`, `gen/${name}.d.ts`]),
    ],
    shared: PROTO,
  },
};

/** Where the files of a template lie in the project, with their paths in a new plugin. */
function sources({ folder, files, shared = [] }: Template): { source: string; path: string }[] {
  return [
    ...files.map((path) => ({ source: `${folder}/${path}`, path })),
    ...shared.map((source) => ({ source, path: source.split("/").at(-1)! })),
  ];
}

/** Every file that templates are made of, by its path in the project. */
export const TEMPLATE_ASSETS: readonly string[] = [
  ...new Set(Object.values(TEMPLATES).flatMap(sources).map(({ source }) => source)),
];

/** The files of a new plugin. `read` gives a file of the project. */
export function templateFiles(
  language: string,
  name: string,
  read: (path: string) => Uint8Array,
): readonly TemplateFile[] {
  const template = TEMPLATES[language]!;
  return sources(template).map(({ source, path }) => ({
    path,
    // A new plugin has no Cargo.lock before its first build.
    content: new TextDecoder().decode(read(source)).replace(template.name, name).replaceAll(" --locked", ""),
    executable: path.endsWith(".sh"),
  }));
}
