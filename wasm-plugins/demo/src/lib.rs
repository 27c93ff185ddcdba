//! The demo plugin of Velas Sphere. Each `#[plugin_fn]` is a function that tasks can name; `manifest.json` describes them to the
//! node and travels inside the module as the custom section `velas:manifest`.

use extism_pdk::*;

#[used]
#[link_section = "velas:manifest"]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

/// Answers "world" to "hello", as the plugin of the first Velas Sphere node did, and greets anything else by name.
#[plugin_fn]
pub fn greet(input: String) -> FnResult<String> {
    Ok(match input.as_str() {
        "hello" => String::from("world"),
        name => format!("hello, {name}"),
    })
}

/// Answers its input, byte for byte.
#[plugin_fn]
pub fn echo(input: Vec<u8>) -> FnResult<Vec<u8>> {
    Ok(input)
}

/// Counts lines (newline characters), words (separated by Unicode white space) and bytes, as `wc` does.
#[plugin_fn]
pub fn wordcount(input: String) -> FnResult<String> {
    let lines = input.bytes().filter(|&byte| byte == b'\n').count();
    let words = input.split_whitespace().count();
    let bytes = input.len();
    Ok(format!(r#"{{"lines":{lines},"words":{words},"bytes":{bytes}}}"#))
}

/// Counts the prime numbers up to a number of at most 10,000,000.
#[plugin_fn]
pub fn primes(input: String) -> FnResult<String> {
    let limit = match input.trim().parse::<usize>() {
        Ok(limit) if limit <= 10_000_000 => limit,
        _ => return Err(Error::msg("primes wants a whole number from 0 to 10000000").into()),
    };
    let mut composite = vec![false; limit + 1];
    let mut count = 0;
    for n in 2..=limit {
        if composite[n] {
            continue;
        }
        count += 1;
        // A usize has 32 bits here, too few for the square of a large prime.
        let mut multiple = n as u64 * n as u64;
        while multiple <= limit as u64 {
            composite[multiple as usize] = true;
            multiple += n as u64;
        }
    }
    Ok(count.to_string())
}
