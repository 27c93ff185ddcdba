// The demo functions as a plugin in Go.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"demo-go-grpc/velas"
)

const text = "text/plain; charset=utf-8"

func main() {
	velas.Serve(velas.Plugin{
		Name:        "demo-go-grpc",
		Version:     "1.0.0",
		Description: "Small functions to begin a plugin from",
		Functions: []velas.Function{
			{
				Name: "greet", InputType: text, OutputType: text, Run: greet,
				Description: `Answers "world" to "hello", and "hello, <input>" to anything else.`,
			},
			{Name: "echo", Run: echo, Description: "Answers its input, byte for byte, as it comes."},
			{
				Name: "wordcount", InputType: text, OutputType: "application/json", Run: wordcount,
				Description: "Counts lines, words and bytes of a UTF-8 text.",
			},
			{
				Name: "primes", InputType: text, OutputType: text, Run: primes,
				Description: "Counts the primes up to the number in its input.",
			},
		},
	})
}

func greet(call *velas.Call) error {
	name, err := call.Text()
	if err != nil {
		return err
	}
	if name == "hello" {
		_, err = io.WriteString(call, "world")
	} else {
		_, err = fmt.Fprintf(call, "hello, %s", name)
	}
	return err
}

func echo(call *velas.Call) error {
	_, err := io.Copy(call, call.Input)
	return err
}

func wordcount(call *velas.Call) error {
	input, err := call.Text()
	if err != nil {
		return err
	}
	output, err := json.Marshal(struct {
		Lines int `json:"lines"`
		Words int `json:"words"`
		Bytes int `json:"bytes"`
	}{strings.Count(input, "\n"), len(strings.Fields(input)), len(input)})
	if err != nil {
		return err
	}
	_, err = call.Write(output)
	return err
}

func primes(call *velas.Call) error {
	input, err := call.Text()
	if err != nil {
		return err
	}
	limit, err := strconv.Atoi(strings.TrimSpace(input))
	if err != nil {
		return errors.New("The input is not a whole number")
	}
	if limit < 0 || limit > 100_000_000 {
		return errors.New("The number must be from 0 to 100000000")
	}
	composite := make([]bool, limit+1)
	count := 0
	for number := 2; number <= limit; number++ {
		if composite[number] {
			continue
		}
		count++
		if err := call.Context.Err(); err != nil {
			return err
		}
		for multiple := number * number; multiple <= limit; multiple += number {
			composite[multiple] = true
		}
	}
	call.Log(velas.Info, "sieved up to %d", limit)
	_, err = io.WriteString(call, strconv.Itoa(count))
	return err
}
