// What a plugin in AssemblyScript needs of its host: Extism's functions (https://extism.org/docs/concepts/pdk), and the node's own. Copy this
// file beside your plugin.

@external("extism:host/env", "alloc")
declare function alloc(length: u64): u64;
@external("extism:host/env", "input_length")
declare function inputLength(): u64;
@external("extism:host/env", "input_load_u8")
declare function inputByte(offset: u64): u8;
@external("extism:host/env", "input_load_u64")
declare function inputWord(offset: u64): u64;
@external("extism:host/env", "store_u8")
declare function storeByte(at: u64, value: u8): void;
@external("extism:host/env", "store_u64")
declare function storeWord(at: u64, value: u64): void;
@external("extism:host/env", "output_set")
declare function outputSet(at: u64, length: u64): void;
@external("extism:host/env", "error_set")
declare function errorSet(at: u64): void;
@external("extism:host/env", "log_info")
declare function logInfo(at: u64): void;
@external("extism:host/user", "velas_progress")
declare function progressSet(fraction: f64, message: u64): void;

/** The input of the call. */
export function input(): Uint8Array {
  const bytes = new Uint8Array(<i32>inputLength());
  const words = bytes.length & ~7;
  for (let i = 0; i < words; i += 8) store<u64>(bytes.dataStart + i, inputWord(i));
  for (let i = words; i < bytes.length; i++) bytes[i] = inputByte(i);
  return bytes;
}

/** The input of the call as a text. */
export function inputText(): string {
  return String.UTF8.decode(input().buffer);
}

/** Sets the output of the call. */
export function output(bytes: Uint8Array): void {
  outputSet(block(bytes), bytes.length);
}

/** Sets the output of the call to a text. */
export function outputText(text: string): void {
  output(Uint8Array.wrap(String.UTF8.encode(text)));
}

/** Fails the call with these words. */
export function fail(text: string): void {
  errorSet(block(Uint8Array.wrap(String.UTF8.encode(text))));
}

/** Writes a line to the task's log. */
export function log(text: string): void {
  logInfo(block(Uint8Array.wrap(String.UTF8.encode(text))));
}

/** Reports how far the call is, from 0 to 1. */
export function progress(fraction: f64): void {
  progressSet(fraction, 0);
}

/** Called by AssemblyScript when the program fails; build with `--use abort=velas/abort`. */
export function abort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}

function block(bytes: Uint8Array): u64 {
  const at = alloc(bytes.length);
  const words = bytes.length & ~7;
  for (let i = 0; i < words; i += 8) storeWord(at + i, load<u64>(bytes.dataStart + i));
  for (let i = words; i < bytes.length; i++) storeByte(at + i, bytes[i]);
  return at;
}
