/** A language's template: a folder of the project, and those of its files that a new plugin begins from. */
interface Template {
  readonly folder: string;
  /** Where its files name the plugin, which the new name takes the place of. */
  readonly name: RegExp;
  readonly files: readonly string[];
}

export interface TemplateFile {
  readonly path: string;
  readonly content: string;
  readonly executable: boolean;
}

const COMMON = ["README.md", "build.sh", "cases.json", "manifest.json"];

/** What `plugins new` can write, by language. */
export const TEMPLATES: Readonly<Record<string, Template>> = {
  rust: {
    folder: "wasm-plugins/demo",
    name: /\bdemo(?=\.wasm|")|(?<=task run )demo/g,
    files: [...COMMON, "Cargo.toml", "src/lib.rs"],
  },
  go: { folder: "wasm-plugins/demo-go", name: /demo-go/g, files: [...COMMON, "go.mod", "go.sum", "main.go"] },
  assemblyscript: { folder: "wasm-plugins/demo-as", name: /demo-as/g, files: [...COMMON, "plugin.ts", "velas.ts"] },
};

/** Every file that templates are made of, by its path in the project. */
export const TEMPLATE_ASSETS: readonly string[] = Object.values(TEMPLATES).flatMap(({ folder, files }) =>
  files.map((file) => `${folder}/${file}`)
);

/** The files of a new plugin. `read` gives a file of the project. */
export function templateFiles(
  language: string,
  name: string,
  read: (path: string) => Uint8Array,
): readonly TemplateFile[] {
  const template = TEMPLATES[language]!;
  return template.files.map((path) => ({
    path,
    // A new plugin has no Cargo.lock before its first build.
    content: new TextDecoder().decode(read(`${template.folder}/${path}`))
      .replace(template.name, name).replaceAll(" --locked", ""),
    executable: path.endsWith(".sh"),
  }));
}
