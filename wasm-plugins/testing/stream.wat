;; What test/plugins/streaming.test.ts calls: takes its input part by part, while it comes.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "input_length" (func $inputLength (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "output_set" (func $outputSet (param i64 i64)))
  (import "extism:host/user" "velas_input" (func $input (param i64) (result i64)))
  (import "extism:host/user" "velas_output" (func $output (param i64)))

  (memory (export "memory") 1)

  ;; Sets 8 bytes as the output.
  (func $answer (param $number i64)
    (local $block i64)
    (local.set $block (call $alloc (i64.const 8)))
    (call $store (local.get $block) (local.get $number))
    (call $outputSet (local.get $block) (i64.const 8)))

  ;; Gives back each 64 KiB as they come.
  (func (export "echo") (result i32)
    (local $block i64)
    (loop $next
      (local.set $block (call $input (i64.const 65536)))
      (if (i64.ne (local.get $block) (i64.const 0)) (then
        (call $output (local.get $block))
        (br $next))))
    (i32.const 0))

  ;; Counts the bytes, of which nothing is kept, by 1000 at a time.
  (func (export "count") (result i32)
    (local $block i64) (local $count i64)
    (loop $next
      (local.set $block (call $input (i64.const 1000)))
      (if (i64.ne (local.get $block) (i64.const 0)) (then
        (local.set $count (i64.add (local.get $count) (call $length (local.get $block))))
        (call $free (local.get $block))
        (br $next))))
    (call $answer (local.get $count))
    (i32.const 0))

  ;; Gives the first three bytes, and leaves the rest where it is.
  (func (export "first") (result i32)
    (local $block i64)
    (local.set $block (call $input (i64.const 3)))
    (call $outputSet (local.get $block) (call $length (local.get $block)))
    (i32.const 0))

  ;; Keeps all that comes in the host's buffers.
  (func (export "hoard") (result i32)
    (loop $next (br_if $next (i64.ne (call $input (i64.const 65536)) (i64.const 0))))
    (i32.const 0))

  ;; Does not stream: the length of its input, when nothing comes behind it.
  (func (export "whole") (result i32)
    (if (i64.ne (call $input (i64.const 1000)) (i64.const 0)) (then (unreachable)))
    (call $answer (call $inputLength))
    (i32.const 0))
)
