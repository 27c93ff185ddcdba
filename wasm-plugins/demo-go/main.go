// The demo plugin of Velas Sphere in Go. Each function with a //go:wasmexport line is one that tasks can name; manifest.json
// describes them to the node.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/extism/go-pdk"
)

// main is never called: a module that is built with -buildmode=c-shared is a library.
func main() {}

// greet answers "world" to "hello", as the plugin of the first Velas Sphere node did, and greets anything else by name.
//
//go:wasmexport greet
func greet() int32 {
	name := pdk.InputString()
	if name == "hello" {
		pdk.OutputString("world")
	} else {
		pdk.OutputString("hello, " + name)
	}
	return 0
}

// echo answers its input, byte for byte.
//
//go:wasmexport echo
func echo() int32 {
	pdk.Output(pdk.Input())
	return 0
}

// wordcount counts lines (newline characters), words (separated by Unicode white space) and bytes, as wc does.
//
//go:wasmexport wordcount
func wordcount() int32 {
	text := pdk.InputString()
	lines := strings.Count(text, "\n")
	words := len(strings.Fields(text))
	pdk.OutputString(fmt.Sprintf(`{"lines":%d,"words":%d,"bytes":%d}`, lines, words, len(text)))
	return 0
}

// primes counts the prime numbers up to a number of at most 10,000,000.
//
//go:wasmexport primes
func primes() int32 {
	limit, err := strconv.Atoi(strings.TrimSpace(pdk.InputString()))
	if err != nil || limit < 0 || limit > 10_000_000 {
		pdk.SetErrorString("primes wants a whole number from 0 to 10000000")
		return 1
	}
	composite := make([]bool, limit+1)
	count := 0
	for n := 2; n <= limit; n++ {
		if composite[n] {
			continue
		}
		count++
		for multiple := n * n; multiple <= limit; multiple += n {
			composite[multiple] = true
		}
	}
	pdk.OutputString(strconv.Itoa(count))
	return 0
}
