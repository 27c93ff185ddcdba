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
