import { NodeError } from "../../src/core/mod.ts";
import type { PluginImplementation } from "../../src/rpc/mod.ts";
import { OPERATIONS_PER_SECOND, SimulatedDevice } from "./device.ts";

const JSON_TYPE = "application/json";
const MAX_SIZE = 4096;

/** The functions of the plugin around one simulated device. */
export function gpuFunctions(device = new SimulatedDevice()): Record<string, PluginImplementation> {
  return {
    matmul: {
      description:
        'Takes the time that a GPU would need to multiply two matrices of {"size":1024}. The GPU is simulated: nothing is multiplied.',
      inputContentType: JSON_TYPE,
      outputContentType: JSON_TYPE,
      async run(input, { log, progress, signal, usedGpu }) {
        const size = sizeOf(await input.text());
        log("info", `${device.name}; matmul of ${size} x ${size}`);
        const micros = await device.run({ operations: 2 * size ** 3, signal, onProgress: progress });
        usedGpu(micros);
        return JSON.stringify({ simulated: true, size, gpuMicros: micros });
      },
    },
    device: {
      description: "Says what the device is: one that is simulated.",
      outputContentType: JSON_TYPE,
      run: () =>
        Promise.resolve(
          JSON.stringify({ simulated: true, name: device.name, operationsPerSecond: OPERATIONS_PER_SECOND }),
        ),
    },
  };
}

function sizeOf(text: string): number {
  let size: unknown;
  try {
    size = (JSON.parse(text) as { size?: unknown } | null)?.size;
  } catch {
    // The message below says what is wanted.
  }
  if (typeof size === "number" && Number.isInteger(size) && size >= 1 && size <= MAX_SIZE) return size;
  throw new NodeError(
    "invalid_argument",
    `The input must be JSON such as {"size":1024}, with a size from 1 to ${MAX_SIZE}, not ${text.slice(0, 80)}`,
  );
}
