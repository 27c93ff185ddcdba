;; Plugins that do what plugins should not, one function each, and two that tell what happened to the instance.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "input_length" (func $inputLength (result i64)))
  (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store64 (param i64 i64)))
  (import "extism:host/env" "output_set" (func $outputSet (param i64 i64)))
  (import "extism:host/env" "error_set" (func $errorSet (param i64)))
  (import "extism:host/env" "log_info" (func $log (param i64)))
  (import "extism:host/env" "var_set" (func $varSet (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
  (import "extism:host/user" "velas_progress" (func $progress (param f64 i64)))
  (import "extism:host/user" "velas_output" (func $output (param i64)))

  (memory (export "memory") 1)
  (table (export "table") 1 funcref)
  (global $calls (mut i32) (i32.const 0))

  ;; How often this instance was called here; tells a new instance from a kept one.
  (func (export "count")
    (local $block i64)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (local.set $block (call $alloc (i64.const 1)))
    (call $store (local.get $block) (i32.add (i32.const 48) (global.get $calls)))
    (call $outputSet (local.get $block) (i64.const 1)))

  ;; Works for as many rounds as its input has bytes, of some milliseconds each.
  (func (export "work")
    (local $i i64)
    (local.set $i (i64.mul (call $inputLength) (i64.const 3000000)))
    (block $end
      (loop $next
        (br_if $end (i64.eqz (local.get $i)))
        (local.set $i (i64.sub (local.get $i) (i64.const 1)))
        (br $next))))

  (func (export "loop") (loop $forever (br $forever)))
  (func (export "trap") (unreachable))
  (func (export "divide") (drop (i32.div_u (i32.const 1) (i32.wrap_i64 (call $inputLength)))))
  (func (export "wild") (drop (i32.load (i32.const -4))))
  (func $recurse (export "recurse") (call $recurse) (call $recurse))

  ;; Grows its memory to the end and traps, as a compiler's allocator does.
  (func (export "grow")
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (unreachable))
  ;; The same, but goes on: answers how many pages it got, as a number of output bytes.
  (func (export "grown")
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (call $outputSet (call $alloc (i64.extend_i32_u (memory.size))) (i64.extend_i32_u (memory.size))))
  (func (export "table_grow")
    (loop $more (br_if $more (i32.ne (table.grow 0 (ref.null func) (i32.const 10000)) (i32.const -1))))
    (call $outputSet (call $alloc (i64.extend_i32_u (table.size 0))) (i64.extend_i32_u (table.size 0))))

  (func (export "hoard") (loop $more (drop (call $alloc (i64.const 1000))) (br $more)))
  (func (export "hoard_none") (loop $more (drop (call $alloc (i64.const 0))) (br $more)))
  (func (export "allocate_4gib") (drop (call $alloc (i64.const 0x100000000))))
  (func (export "allocate_all") (drop (call $alloc (i64.const -1))))
  (func (export "output_4gib") (call $outputSet (call $alloc (i64.const 8)) (i64.const 0x100000000)))
  (func (export "output_wild") (call $outputSet (i64.const 0x7fff0000) (i64.const 8)))
  (func (export "error_wild") (call $errorSet (i64.const -8)))
  (func (export "load_wild") (drop (call $load (i64.const 0x7fff0000))))
  (func (export "store_wild") (call $store64 (i64.const 0xfffffffffffffff8) (i64.const 1)))
  (func (export "free_wild")
    (call $free (i64.const 0)) (call $free (i64.const 8)) (call $free (i64.const -1)) (call $free (i64.const 0x7fff0000)))
  ;; Writes a length into a block's header that reaches over the end of everything, then logs the block.
  (func (export "forge")
    (local $block i64)
    (local.set $block (call $alloc (i64.const 8)))
    (call $store64 (i64.sub (local.get $block) (i64.const 8)) (i64.const 0xffffffff))
    (call $log (local.get $block)))

  (func (export "stream_on")
    (loop $more (call $output (call $alloc (i64.const 65536))) (br $more)))
  (func (export "flood") (local $i i32)
    (loop $more
      (call $log (call $alloc (i64.const 10)))
      (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000)))))
  (func (export "flood_progress") (local $i i32)
    (loop $more
      (call $progress (f64.const nan) (i64.const 0))
      (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000)))))
  (func (export "talk_on") (loop $more (call $progress (f64.const 0.1) (i64.const 0)) (br $more)))
  (func (export "vars") (local $i i64)
    (loop $more
      (call $store64 (local.tee $i (call $alloc (i64.const 8))) (local.get $i))
      (call $varSet (local.get $i) (call $alloc (i64.const 1000)))
      (br $more)))
  (func (export "http") (drop (call $http (i64.const 0) (i64.const 0))))
  (func (export "long_error") (call $errorSet (call $alloc (i64.const 1000000))))
  ;; Reports an error and traps, as thrown exceptions of some languages do.
  (func (export "error_and_trap") (local $block i64)
    (local.set $block (call $alloc (i64.const 2)))
    (call $store (local.get $block) (i32.const 110))
    (call $store (i64.add (local.get $block) (i64.const 1)) (i32.const 111))
    (call $errorSet (local.get $block))
    (unreachable))
)
