;; What test/contract-suites/plugin-host.ts calls; contract.json is its manifest and says what each function does.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "input_length" (func $inputLength (result i64)))
  (import "extism:host/env" "input_load_u8" (func $inputByte (param i64) (result i32)))
  (import "extism:host/env" "input_offset" (func $inputOffset (result i64)))
  (import "extism:host/env" "load_u8" (func $load (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "output_set" (func $outputSet (param i64 i64)))
  (import "extism:host/env" "error_set" (func $errorSet (param i64)))
  (import "extism:host/env" "log_trace" (func $trace (param i64)))
  (import "extism:host/env" "log_debug" (func $debug (param i64)))
  (import "extism:host/env" "log_info" (func $info (param i64)))
  (import "extism:host/env" "log_warn" (func $warn (param i64)))
  (import "extism:host/env" "log_error" (func $error (param i64)))
  (import "extism:host/user" "velas_progress" (func $progress (param f64 i64)))
  (import "extism:host/user" "velas_output" (func $output (param i64)))

  (memory (export "memory") 1)
  (data (i32.const 0) "tracedebuginfowarnerrorhalfdonestarted")

  ;; A block with $length bytes of this module's memory.
  (func $text (param $at i32) (param $length i32) (result i64)
    (local $block i64) (local $i i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $i) (local.get $length)))
        (call $store
          (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
          (i32.load8_u (i32.add (local.get $at) (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $block))

  ;; A block with $length bytes of the input from $from on.
  (func $part (param $from i64) (param $length i64) (result i64)
    (local $block i64) (local $i i64)
    (local.set $block (call $alloc (local.get $length)))
    (block $end
      (loop $next
        (br_if $end (i64.ge_u (local.get $i) (local.get $length)))
        (call $store
          (i64.add (local.get $block) (local.get $i))
          (call $inputByte (i64.add (local.get $from) (local.get $i))))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br $next)))
    (local.get $block))

  (func (export "echo") (result i32)
    (call $outputSet (call $part (i64.const 0) (call $inputLength)) (call $inputLength))
    (i32.const 0))

  (func (export "fail") (result i32)
    (call $errorSet (call $part (i64.const 0) (call $inputLength)))
    (i32.const 1))

  (func (export "chatter") (result i32)
    (call $trace (call $text (i32.const 0) (i32.const 5)))
    (call $debug (call $text (i32.const 5) (i32.const 5)))
    (call $info (call $text (i32.const 10) (i32.const 4)))
    (call $progress (f64.const 0.5) (call $text (i32.const 23) (i32.const 4)))
    (call $warn (call $text (i32.const 14) (i32.const 4)))
    (call $error (call $text (i32.const 18) (i32.const 5)))
    (call $progress (f64.const 1) (i64.const 0))
    (call $outputSet (call $text (i32.const 27) (i32.const 4)) (i64.const 4))
    (i32.const 0))

  (func (export "pieces") (result i32)
    (local $from i64) (local $rest i64)
    (block $end
      (loop $next
        (local.set $rest (i64.sub (call $inputLength) (local.get $from)))
        (br_if $end (i64.eqz (local.get $rest)))
        (if (i64.gt_u (local.get $rest) (i64.const 1000)) (then (local.set $rest (i64.const 1000))))
        (call $output (call $part (local.get $from) (local.get $rest)))
        (local.set $from (i64.add (local.get $from) (local.get $rest)))
        (br $next)))
    (i32.const 0))

  (func (export "zeros") (result i32)
    (local $count i64) (local $i i64)
    (block $end
      (loop $next
        (br_if $end (i64.ge_u (local.get $i) (call $inputLength)))
        (local.set $count
          (i64.add
            (i64.mul (local.get $count) (i64.const 10))
            (i64.extend_i32_u (i32.sub (call $inputByte (local.get $i)) (i32.const 48)))))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br $next)))
    (call $outputSet (call $alloc (local.get $count)) (local.get $count))
    (i32.const 0))

  (func (export "endless") (result i32)
    (call $info (call $text (i32.const 31) (i32.const 7)))
    (loop $forever (br $forever))
    (i32.const 0))
)
