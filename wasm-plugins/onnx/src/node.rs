//! What a plugin asks of the node; docs/plugins.md lists the functions.

use extism_pdk::Memory;

#[link(wasm_import_module = "extism:host/user")]
extern "C" {
    fn velas_file_size(name: u64) -> i64;
    fn velas_file_read(name: u64, offset: i64, length: i64) -> u64;
    fn velas_progress(fraction: f64, message: u64);
    fn velas_random(length: i64) -> u64;
}

/// A whole file of the node. A call that may not read files ends here.
pub fn read_file(name: &str, max_bytes: usize) -> Result<Vec<u8>, String> {
    let none = || format!("The node has no file \"{name}\"");
    let block = Memory::from_bytes(name).map_err(|error| error.to_string())?;
    let size = unsafe { velas_file_size(block.offset()) };
    if size < 0 {
        return Err(none());
    }
    if size as u64 > max_bytes as u64 {
        return Err(format!("The model of {size} bytes is too large: it may have at most {max_bytes}"));
    }
    let content = unsafe { velas_file_read(block.offset(), 0, size) };
    Memory::find(content).map(|content| content.to_vec()).ok_or_else(none)
}

pub fn report_progress(fraction: f64) {
    unsafe { velas_progress(fraction, 0) };
}

/// Where models draw random numbers from: the node's, which depend on the input alone.
#[no_mangle]
unsafe extern "Rust" fn __getrandom_v03_custom(target: *mut u8, length: usize) -> Result<(), getrandom::Error> {
    let block = unsafe { velas_random(length as i64) };
    let bytes = Memory::find(block).ok_or(getrandom::Error::UNSUPPORTED)?.to_vec();
    if bytes.len() != length {
        return Err(getrandom::Error::UNSUPPORTED);
    }
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, length) };
    Ok(())
}
