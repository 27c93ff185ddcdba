;; The host side of the Extism ABI for one warm instance: every function that a plugin may import from "extism:host/env", and the
;; node's own in "extism:host/user" (named velas_*). It is WebAssembly because data crosses between plugin and host eight bytes a
;; call: a call from one module to another costs nanoseconds, a call into JavaScript with a 64-bit integer a hundred times that.
;;
;; Memory from 16 to $top holds blocks, each an 8-byte header (the block's length) and its data, aligned to 8. It is an arena:
;; `free` takes back only the block on top, and the next call empties it. Data of an earlier call is never visible: a block is
;; zeroed when it is given out, and nothing above $top can be read. Exports with a colon in their name are for the host.
;;
;; After a change run `node tools/build-plugins.ts`, which puts the assembled bytes into kernel-bytes.ts.
(module
  (import "velas:host" "refuse" (func $refuse))
  (import "velas:host" "log" (func $log (param $level i32) (param $at i32) (param $length i32)))
  (import "velas:host" "progress" (func $progress (param $fraction f64) (param $at i32) (param $length i32)))
  (import "velas:host" "output" (func $output (param $at i32) (param $length i32)))
  (import "velas:host" "var_get" (func $varGet (param $key i32) (param $keyLength i32) (result i32)))
  (import "velas:host" "var_set"
    (func $varSet (param $key i32) (param $keyLength i32) (param $value i32) (param $valueLength i32)))

  (import "velas:host" "canceled" (func $canceled (result i32)))
  (import "velas:host" "random" (func $random (param $at i32) (param $length i32)))
  ;; What the node answers: kinds are those of kernel.ts. A block, or 0 for nothing; a number.
  (import "velas:host" "ask"
    (func $ask
      (param $kind i32) (param $a i32) (param $aLength i32) (param $b i32) (param $bLength i32)
      (param $x f64) (param $y f64) (result i32)))
  (import "velas:host" "ask_number" (func $askNumber (param $kind i32) (param $a i32) (param $aLength i32) (result f64)))
  (import "velas:host" "http_headers" (func $httpHeaders (result i32)))

  (memory (export "host:memory") 1)

  (global $top (mut i32) (i32.const 16))
  (global $limit (mut i64) (i64.const 65536))
  (global $inputAt (mut i32) (i32.const 0))
  (global $inputLength (mut i32) (i32.const 0))
  (global $outputAt (export "host:output_at") (mut i32) (i32.const 0))
  (global $outputLength (export "host:output_length") (mut i32) (i32.const 0))
  (global $errorAt (export "host:error_at") (mut i32) (i32.const 0))
  (global $httpStatus (export "host:http_status") (mut i32) (i32.const 0))

  ;; Gives out a zeroed block, or has the host refuse when the arena would pass its limit.
  (func $block (param $length i64) (result i32)
    (local $at i32) (local $end i64) (local $have i64) (local $want i64)
    ;; Compared before it is added to anything, so that a length near 2^64 does not wrap.
    (if (i64.gt_u (local.get $length) (global.get $limit)) (then (call $refuse) (unreachable)))
    (local.set $at (i32.add (global.get $top) (i32.const 8)))
    (local.set $end
      (i64.add
        (i64.extend_i32_u (local.get $at))
        (i64.and (i64.add (local.get $length) (i64.const 7)) (i64.const -8))))
    (if (i64.gt_u (local.get $end) (global.get $limit)) (then (call $refuse) (unreachable)))
    (local.set $have (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
    (if (i64.gt_u (local.get $end) (local.get $have))
      (then
        ;; Doubles, so that many small blocks do not grow it page by page, but stays under the limit.
        (local.set $want (i64.shl (local.get $have) (i64.const 1)))
        (if (i64.lt_u (local.get $want) (local.get $end)) (then (local.set $want (local.get $end))))
        (if (i64.gt_u (local.get $want) (global.get $limit)) (then (local.set $want (local.get $end))))
        (if (i32.eq
              (memory.grow
                (i32.wrap_i64
                  (i64.shr_u
                    (i64.add (i64.sub (local.get $want) (local.get $have)) (i64.const 65535))
                    (i64.const 16))))
              (i32.const -1))
          (then (call $refuse) (unreachable)))))
    (memory.fill
      (local.get $at)
      (i32.const 0)
      (i32.sub (i32.wrap_i64 (local.get $end)) (local.get $at)))
    (i32.store (i32.sub (local.get $at) (i32.const 8)) (i32.wrap_i64 (local.get $length)))
    (global.set $top (i32.wrap_i64 (local.get $end)))
    (local.get $at))

  ;; Where an access of $size bytes at $address lies; traps when it is not inside the arena.
  (func $place (param $address i64) (param $size i64) (result i32)
    (if (i64.gt_u
          (local.get $address)
          (i64.sub (i64.extend_i32_u (global.get $top)) (local.get $size)))
      (then (unreachable)))
    (i32.wrap_i64 (local.get $address)))

  ;; The length of the block at $address, 0 when there is none. A plugin can forge a header, so the result is checked too.
  (func $lengthOf (param $address i64) (result i32)
    (local $length i32)
    (if (i64.lt_u (local.get $address) (i64.const 24)) (then (return (i32.const 0))))
    (if (i64.gt_u (local.get $address) (i64.extend_i32_u (global.get $top))) (then (return (i32.const 0))))
    (if (i64.ne (i64.and (local.get $address) (i64.const 7)) (i64.const 0)) (then (return (i32.const 0))))
    (local.set $length (i32.load (i32.sub (i32.wrap_i64 (local.get $address)) (i32.const 8))))
    (if (i64.gt_u
          (i64.add (local.get $address) (i64.extend_i32_u (local.get $length)))
          (i64.extend_i32_u (global.get $top)))
      (then (return (i32.const 0))))
    (local.get $length))

  ;; Empties the arena and makes the block for an input of the given length. `limit` bounds the arena in bytes.
  (func (export "host:begin") (param $inputLength i32) (param $limit f64) (result i32)
    (global.set $top (i32.const 16))
    (global.set $outputAt (i32.const 0))
    (global.set $outputLength (i32.const 0))
    (global.set $errorAt (i32.const 0))
    (global.set $httpStatus (i32.const 0))
    (global.set $limit (i64.trunc_sat_f64_u (local.get $limit)))
    (global.set $inputLength (local.get $inputLength))
    (global.set $inputAt (call $block (i64.extend_i32_u (local.get $inputLength))))
    (global.get $inputAt))

  (func (export "host:block") (param $length i32) (result i32)
    (call $block (i64.extend_i32_u (local.get $length))))

  (func (export "host:length") (param $at i32) (result i32)
    (call $lengthOf (i64.extend_i32_u (local.get $at))))

  (func (export "alloc") (param $length i64) (result i64)
    (i64.extend_i32_u (call $block (local.get $length))))

  (func $free (export "free") (param $address i64)
    (local $length i64)
    (if (i64.lt_u (local.get $address) (i64.const 24)) (then (return)))
    (local.set $length (i64.extend_i32_u (call $lengthOf (local.get $address))))
    (if (i64.eq
          (i64.add
            (local.get $address)
            (i64.and (i64.add (local.get $length) (i64.const 7)) (i64.const -8)))
          (i64.extend_i32_u (global.get $top)))
      (then (global.set $top (i32.wrap_i64 (i64.sub (local.get $address) (i64.const 8)))))))

  (func $length (export "length") (export "length_unsafe") (param $address i64) (result i64)
    (i64.extend_i32_u (call $lengthOf (local.get $address))))

  (func (export "load_u8") (param $address i64) (result i32)
    (i32.load8_u (call $place (local.get $address) (i64.const 1))))
  (func (export "load_u64") (param $address i64) (result i64)
    (i64.load (call $place (local.get $address) (i64.const 8))))
  (func (export "store_u8") (param $address i64) (param $value i32)
    (i32.store8 (call $place (local.get $address) (i64.const 1)) (local.get $value)))
  (func (export "store_u64") (param $address i64) (param $value i64)
    (i64.store (call $place (local.get $address) (i64.const 8)) (local.get $value)))

  (func (export "input_offset") (result i64) (i64.extend_i32_u (global.get $inputAt)))
  (func (export "input_length") (result i64) (i64.extend_i32_u (global.get $inputLength)))
  (func (export "input_load_u8") (param $offset i64) (result i32)
    (if (i64.ge_u (local.get $offset) (i64.extend_i32_u (global.get $inputLength))) (then (unreachable)))
    (i32.load8_u (i32.add (global.get $inputAt) (i32.wrap_i64 (local.get $offset)))))
  (func (export "input_load_u64") (param $offset i64) (result i64)
    (if (i64.ge_u (local.get $offset) (i64.extend_i32_u (global.get $inputLength))) (then (unreachable)))
    (if (i64.gt_u
          (i64.add (local.get $offset) (i64.const 8))
          (i64.extend_i32_u (global.get $inputLength)))
      (then (unreachable)))
    (i64.load (i32.add (global.get $inputAt) (i32.wrap_i64 (local.get $offset)))))

  (func (export "output_set") (param $address i64) (param $length i64)
    (if (i64.eqz (local.get $length)) (then
      (global.set $outputLength (i32.const 0))
      (return)))
    (if (i64.gt_u (local.get $length) (i64.extend_i32_u (global.get $top))) (then (unreachable)))
    (global.set $outputAt (call $place (local.get $address) (local.get $length)))
    (global.set $outputLength (i32.wrap_i64 (local.get $length))))

  ;; Address 0 takes an earlier error back.
  (func (export "error_set") (param $address i64)
    (global.set $errorAt (call $place (local.get $address) (i64.const 0))))
  (func (export "error_get") (result i64) (i64.extend_i32_u (global.get $errorAt)))

  ;; Plugins have no configuration here: every key is absent.
  (func (export "config_get") (param $key i64) (result i64)
    (call $free (local.get $key))
    (i64.const 0))

  (func (export "var_get") (param $key i64) (result i64)
    (i64.extend_i32_u (call $varGet (i32.wrap_i64 (local.get $key)) (call $lengthOf (local.get $key)))))
  (func (export "var_set") (param $key i64) (param $value i64)
    (call $varSet
      (i32.wrap_i64 (local.get $key)) (call $lengthOf (local.get $key))
      (i32.wrap_i64 (local.get $value)) (call $lengthOf (local.get $value))))

  (func (export "http_request") (param $request i64) (param $body i64) (result i64)
    (i64.extend_i32_u
      (call $ask
        (i32.const 6)
        (i32.wrap_i64 (local.get $request)) (call $lengthOf (local.get $request))
        (i32.wrap_i64 (local.get $body)) (call $lengthOf (local.get $body))
        (f64.const 0) (f64.const 0))))
  (func (export "http_status_code") (result i32) (global.get $httpStatus))
  (func (export "http_headers") (result i64) (i64.extend_i32_u (call $httpHeaders)))

  ;; The node's own functions; docs/plugins.md says what each does and needs.
  (func (export "velas_canceled") (result i32) (call $canceled))
  (func (export "velas_random") (param $length i64) (result i64)
    (local $at i32)
    (local.set $at (call $block (local.get $length)))
    (call $random (local.get $at) (i32.wrap_i64 (local.get $length)))
    (i64.extend_i32_u (local.get $at)))
  ;; The next bytes of an input that comes as a stream, in a block; 0 at its end.
  (func (export "velas_input") (param $length i64) (result i64)
    (i64.extend_i32_u
      (call $ask
        (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (f64.convert_i64_u (local.get $length)) (f64.const 0))))
  (func (export "velas_now") (result i64)
    (i64.trunc_sat_f64_s (call $askNumber (i32.const 0) (i32.const 0) (i32.const 0))))
  (func (export "velas_kv_get") (param $key i64) (result i64)
    (i64.extend_i32_u
      (call $ask
        (i32.const 1) (i32.wrap_i64 (local.get $key)) (call $lengthOf (local.get $key))
        (i32.const 0) (i32.const 0) (f64.const 0) (f64.const 0))))
  ;; Address 0 as the value removes the key.
  (func (export "velas_kv_set") (param $key i64) (param $value i64)
    (drop
      (call $ask
        (i32.const 2) (i32.wrap_i64 (local.get $key)) (call $lengthOf (local.get $key))
        (i32.wrap_i64 (local.get $value)) (call $lengthOf (local.get $value)) (f64.const 0) (f64.const 0))))
  (func (export "velas_file_size") (param $name i64) (result i64)
    (i64.trunc_sat_f64_s
      (call $askNumber (i32.const 3) (i32.wrap_i64 (local.get $name)) (call $lengthOf (local.get $name)))))
  (func (export "velas_file_read") (param $name i64) (param $offset i64) (param $length i64) (result i64)
    (i64.extend_i32_u
      (call $ask
        (i32.const 4) (i32.wrap_i64 (local.get $name)) (call $lengthOf (local.get $name))
        (i32.const 0) (i32.const 0)
        (f64.convert_i64_u (local.get $offset)) (f64.convert_i64_u (local.get $length)))))
  (func (export "velas_file_write") (param $name i64) (param $content i64)
    (drop
      (call $ask
        (i32.const 5) (i32.wrap_i64 (local.get $name)) (call $lengthOf (local.get $name))
        (i32.wrap_i64 (local.get $content)) (call $lengthOf (local.get $content)) (f64.const 0) (f64.const 0))))

  (func $logBlock (param $level i32) (param $address i64)
    (call $log (local.get $level) (i32.wrap_i64 (local.get $address)) (call $lengthOf (local.get $address)))
    (call $free (local.get $address)))
  (func (export "log_trace") (param i64) (call $logBlock (i32.const 0) (local.get 0)))
  (func (export "log_debug") (param i64) (call $logBlock (i32.const 1) (local.get 0)))
  (func (export "log_info") (param i64) (call $logBlock (i32.const 2) (local.get 0)))
  (func (export "log_warn") (param i64) (call $logBlock (i32.const 3) (local.get 0)))
  (func (export "log_error") (param i64) (call $logBlock (i32.const 4) (local.get 0)))
  ;; The same whether or not anybody reads the log: a plugin must not count otherwise for that.
  (func (export "get_log_level") (result i32) (i32.const 0))

  ;; Reports how far the call is, 0 to 1, with words in a block (or none: 0), which it takes back.
  (func (export "velas_progress") (param $fraction f64) (param $message i64)
    (call $progress
      (local.get $fraction) (i32.wrap_i64 (local.get $message)) (call $lengthOf (local.get $message)))
    (call $free (local.get $message)))

  ;; Appends a block to the output, before what output_set gives at the end, and takes the block back.
  (func (export "velas_output") (param $block i64)
    (call $output (i32.wrap_i64 (local.get $block)) (call $lengthOf (local.get $block)))
    (call $free (local.get $block)))
)
