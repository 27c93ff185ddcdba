import { WorkerSink } from "../../../src/plugins/call-sink.ts";
import { InstanceMeter } from "../../../src/plugins/instance-meter.ts";
import { Kernel } from "../../../src/plugins/kernel.ts";
import { METER_EXPORTS } from "../../../src/plugins/prepare-module.ts";
import { Wasi } from "../../../src/plugins/wasi.ts";
import { WASI_MODULE } from "../../../src/plugins/wasi-names.ts";
import { outlineModule } from "../../../src/plugins/wasm-module.ts";
import { start } from "./run-module.ts";

const BUDGET = 1e15;

/** A plugin's module with the node's host functions and nothing else of the node around it. */
export interface BarePlugin {
  readonly call: (fn: string, input: Uint8Array) => Uint8Array;
  readonly meter: InstanceMeter | undefined;
}

/** An instance with the node's host functions; metered when the module has counters. */
export function instantiate(bytes: Uint8Array<ArrayBuffer>): BarePlugin {
  const own = new InstanceMeter();
  const isMetered = outlineModule(bytes).exports.some(({ name }) => name === METER_EXPORTS.fuel);
  const free = { charge() {} } as unknown as InstanceMeter;
  const kernel = new Kernel(new WorkerSink(), isMetered ? own : free);
  const wasi = new Wasi(() => {}, isMetered ? own : free);
  const imports = { ...kernel.functions(), [WASI_MODULE]: wasi.functions() } as unknown as WebAssembly.Imports;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  wasi.attach(exports["memory"] as WebAssembly.Memory);
  if (isMetered) {
    own.attach(exports);
    own.begin(BUDGET);
  }
  start(exports);
  (exports["_initialize"] as (() => void) | undefined)?.();
  return {
    meter: isMetered ? own : undefined,
    call(fn, input) {
      if (isMetered) own.begin(BUDGET);
      kernel.begin(input, { limitBytes: 1 << 26, wantsLogs: false });
      wasi.begin(input);
      (exports[fn] as () => void)();
      return kernel.output();
    },
  };
}
