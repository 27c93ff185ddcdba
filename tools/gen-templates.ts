/** The generated code in the templates of plugins over gRPC: from `grpc-plugins/plugin.proto` and gRPC's health service. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const TYPESCRIPT = "grpc-plugins/demo-typescript/gen";
const GO = "grpc-plugins/demo-go/velas/plugin.pb.go";

function buf(args: readonly string[], output?: "bytes"): Buffer {
  const run = spawnSync("buf", args, { stdio: ["ignore", output === "bytes" ? "pipe" : "inherit", "inherit"] });
  if (run.status !== 0) process.exit(run.status ?? 1);
  return run.stdout ?? Buffer.alloc(0);
}

/** Generates the code in a scratch folder. Returns what is stale after the fresh code was put in place or, with `check`, before. */
export function genTemplates(scratch: string, { check }: { readonly check: boolean }): string[] {
  const stale: string[] = [];
  const template = {
    version: "v2",
    plugins: [{
      local: ["node", "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es"],
      out: "templates",
      opt: ["target=js+dts"],
    }],
  };
  for (const [folder, name] of [["grpc-plugins", "plugin"], ["proto/grpc/health/v1", "health"]] as const) {
    const path = `${folder}/${name}.proto`;
    const config = JSON.stringify({ version: "v2", modules: [{ path: folder }] });
    const settings = ["--config", config, "--template", JSON.stringify(template), "--output", scratch];
    buf(["generate", ".", ...settings, "--path", path]);
    for (const file of [`${name}_pb.js`, `${name}_pb.d.ts`]) {
      const fresh = readFileSync(join(scratch, "templates", file), "utf8");
      if (fresh === readFileSync(join(TYPESCRIPT, file), "utf8")) continue;
      if (check) stale.push(`${TYPESCRIPT}/${file} is not what ${path} generates. Run: npm run gen`);
      else writeFileSync(join(TYPESCRIPT, file), fresh);
    }
  }
  // Its generator is written in Go, which not everybody has who changes the protocol; the descriptor in it says whether it is fresh.
  const image = buf([
    "build",
    "grpc-plugins",
    "--path",
    "grpc-plugins/plugin.proto",
    "--exclude-source-info",
    "--as-file-descriptor-set",
    "-o",
    "-",
  ], "bytes");
  if (!image.includes(goDescriptor(readFileSync(GO, "utf8")))) {
    stale.push(
      `${GO} is not what grpc-plugins/plugin.proto generates. Install protoc-gen-go and protoc-gen-go-grpc, and run them with buf ` +
        "(the versions are in the heads of the files)",
    );
  }
  return stale;
}

/** The serialized FileDescriptorProto in code that protoc-gen-go wrote. */
export function goDescriptor(code: string): Buffer {
  const literal = /^const file_plugin_proto_rawDesc = ""((?: \+\n\t".*")+)$/m.exec(code);
  if (literal === null) throw new Error("There is no descriptor in the form that protoc-gen-go writes");
  const escapes: Record<string, number> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, "\\": 92, '"': 34 };
  const bytes: Buffer[] = [];
  for (const [, text] of literal[1]!.matchAll(/\t"(.*)"/g)) {
    for (const [, hex, escape, plain] of text!.matchAll(/\\x([0-9a-f]{2})|\\([abfnrtv"\\])|([^\\]+)/g)) {
      if (hex !== undefined) bytes.push(Buffer.from(hex, "hex"));
      else if (escape !== undefined) bytes.push(Buffer.from([escapes[escape]!]));
      else bytes.push(Buffer.from(plain!, "utf8"));
    }
  }
  return Buffer.concat(bytes);
}
