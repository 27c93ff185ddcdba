import type { PluginImplementation } from "../../src/rpc/mod.ts";

const TEXT = "text/plain; charset=utf-8";

/**
 * The functions of the demo plugin, as `velas-sphere plugin` serves them. They answer as those of `wasm-plugins/demo` do, byte for byte.
 */
export const demoFunctions = {
  greet: {
    description: 'Answers "world" to "hello", and "hello, <input>" to anything else.',
    inputContentType: TEXT,
    outputContentType: TEXT,
    async run(input) {
      const name = await input.text();
      return name === "hello" ? "world" : `hello, ${name}`;
    },
  },
  echo: {
    description: "Answers its input, byte for byte.",
    run: (input) => input,
  },
  wordcount: {
    description: 'Counts lines, words and bytes of a UTF-8 text, as wc does: {"lines":1,"words":2,"bytes":12}.',
    inputContentType: TEXT,
    outputContentType: "application/json",
    async run(input) {
      // Pieces may end in the middle of a word, or of a character.
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      let lines = 0;
      let words = 0;
      let bytes = 0;
      let inWord = false;
      const count = (text: string) => {
        for (const character of text) {
          if (character === "\n") lines++;
          const space = /\p{White_Space}/u.test(character);
          if (!space && !inWord) words++;
          inWord = !space;
        }
      };
      try {
        for await (const piece of input) {
          bytes += piece.length;
          count(decoder.decode(piece, { stream: true }));
        }
        count(decoder.decode());
      } catch (cause) {
        throw cause instanceof TypeError ? new Error("The input is not UTF-8 text", { cause }) : cause;
      }
      return JSON.stringify({ lines, words, bytes });
    },
  },
} satisfies Record<string, PluginImplementation>;
