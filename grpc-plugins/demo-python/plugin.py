#!/usr/bin/env python3
"""The demo functions as a plugin in Python."""

import json

from velas_plugin import Call, function, serve

TEXT = "text/plain; charset=utf-8"


@function(input_type=TEXT, output_type=TEXT)
def greet(call: Call) -> str:
    """Answers "world" to "hello", and "hello, <input>" to anything else."""
    name = call.text()
    return "world" if name == "hello" else f"hello, {name}"


@function()
def echo(call: Call):
    """Answers its input, byte for byte, as it comes."""
    yield from call.chunks()


@function(input_type=TEXT, output_type="application/json")
def wordcount(call: Call) -> str:
    """Counts lines, words and bytes of a UTF-8 text."""
    text = call.text()
    counts = {"lines": text.count("\n"), "words": len(text.split()), "bytes": len(text.encode())}
    return json.dumps(counts, separators=(",", ":"))


@function(input_type=TEXT, output_type=TEXT)
def primes(call: Call) -> str:
    """Counts the primes up to the number in its input."""
    try:
        limit = int(call.text())
    except ValueError:
        raise ValueError("The input is not a whole number") from None
    if not 0 <= limit <= 100_000_000:
        raise ValueError("The number must be from 0 to 100000000")
    sieve = bytearray([1]) * (limit + 1)
    sieve[:2] = bytes(min(2, limit + 1))
    number = 2
    while number * number <= limit:
        if call.canceled:
            raise RuntimeError("Canceled")
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit + 1, number)))
        number += 1
    call.log(f"sieved up to {limit}")
    return str(sum(sieve))


if __name__ == "__main__":
    serve("demo-python", "1.0.0", "Small functions to begin a plugin from")
