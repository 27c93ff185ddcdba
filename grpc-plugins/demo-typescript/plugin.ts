// The demo functions as a plugin in TypeScript.
import { serve } from "./velas.ts";

const TEXT = "text/plain; charset=utf-8";

serve({
  name: "demo-typescript",
  version: "1.0.0",
  description: "Small functions to begin a plugin from",
  functions: {
    greet: {
      description: 'Answers "world" to "hello", and "hello, <input>" to anything else.',
      inputType: TEXT,
      outputType: TEXT,
      async run(call) {
        const name = await call.text();
        return name === "hello" ? "world" : `hello, ${name}`;
      },
    },
    echo: {
      description: "Answers its input, byte for byte, as it comes.",
      run: (call) => call.input,
    },
    wordcount: {
      description: "Counts lines, words and bytes of a UTF-8 text.",
      inputType: TEXT,
      outputType: "application/json",
      async run(call) {
        const text = await call.text();
        const lines = text.split("\n").length - 1;
        const words = text.split(/\s+/).filter((word) => word !== "").length;
        return JSON.stringify({ lines, words, bytes: new TextEncoder().encode(text).length });
      },
    },
    primes: {
      description: "Counts the primes up to the number in its input.",
      inputType: TEXT,
      outputType: TEXT,
      async run(call) {
        const text = await call.text();
        if (!/^\d{1,9}$/.test(text) || Number(text) > 100_000_000) {
          throw new Error("The input must be a whole number from 0 to 100000000");
        }
        const limit = Number(text);
        const composite = new Uint8Array(limit + 1);
        let count = 0;
        for (let number = 2; number <= limit; number++) {
          if (composite[number] === 1) continue;
          count++;
          for (let multiple = number * number; multiple <= limit; multiple += number) composite[multiple] = 1;
        }
        call.log(`sieved up to ${limit}`);
        return String(count);
      },
    },
  },
});
