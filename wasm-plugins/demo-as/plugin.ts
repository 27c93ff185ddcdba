// The demo plugin of Velas Sphere in AssemblyScript. Each exported function without arguments is one that tasks can name;
// manifest.json describes them to the node.
import { fail, input, inputText, output, outputText } from "./velas";

/** Answers "world" to "hello", as the plugin of the first Velas Sphere node did, and greets anything else by name. */
export function greet(): i32 {
  const name = inputText();
  outputText(name == "hello" ? "world" : "hello, " + name);
  return 0;
}

/** Answers its input, byte for byte. */
export function echo(): i32 {
  output(input());
  return 0;
}

/** Counts lines (newline characters), words (separated by ASCII white space) and bytes. */
export function wordcount(): i32 {
  const bytes = input();
  let lines = 0;
  let words = 0;
  let inWord = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = unchecked(bytes[i]);
    if (byte == 10) lines++;
    const isSpace = byte == 32 || (byte >= 9 && byte <= 13);
    if (!isSpace && !inWord) words++;
    inWord = !isSpace;
  }
  outputText(`{"lines":${lines},"words":${words},"bytes":${bytes.length}}`);
  return 0;
}

/** Counts the prime numbers up to a number of at most 10,000,000. */
export function primes(): i32 {
  const limit = wholeNumber(inputText().trim());
  if (limit < 0 || limit > 10_000_000) {
    fail("primes wants a whole number from 0 to 10000000");
    return 1;
  }
  const composite = new StaticArray<bool>(limit + 1);
  let count = 0;
  for (let n: i64 = 2; n <= limit; n++) {
    if (unchecked(composite[<i32>n])) continue;
    count++;
    for (let multiple = n * n; multiple <= limit; multiple += n) unchecked(composite[<i32>multiple] = true);
  }
  outputText(count.toString());
  return 0;
}

/** The number that a text of up to 8 digits is, or -1. */
function wholeNumber(text: string): i32 {
  if (text.length == 0 || text.length > 8) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
