import { TEMPLATE_ASSETS } from "../src/cli/plugin-templates.ts";

/** Files that the program reads at run time through `readAsset()`. */
export const ASSETS: readonly string[] = [
  "wasm-plugins/demo/demo.wasm",
  "web/dist/index.html",
  "web/dist/app.js",
  "web/dist/hls.js",
  "web/dist/app.css",
  "web/dist/icon.svg",
  ...TEMPLATE_ASSETS,
];

/** Modules that the program starts as workers through `startWorker()`. */
export const WORKERS: readonly string[] = ["src/plugins/worker.ts", "src/rpc/fronts/front.ts"];
