//! What the plugin asks of the node; docs/plugins.md lists the functions.

use std::io::{self, Read, Seek, SeekFrom};

use extism_pdk::{Error, Memory};
use symphonia::core::io::MediaSource;

#[link(wasm_import_module = "extism:host/user")]
extern "C" {
    fn velas_file_size(name: u64) -> i64;
    fn velas_file_read(name: u64, offset: i64, length: i64) -> u64;
    fn velas_output(block: u64);
    fn velas_progress(fraction: f64, message: u64);
}

/// Appends to the output; a caller that streams gets it at once.
pub fn write_output(bytes: &[u8]) -> Result<(), Error> {
    let block = Memory::from_bytes(bytes)?;
    unsafe { velas_output(block.offset()) };
    block.free();
    Ok(())
}

pub fn report_progress(fraction: f64) {
    unsafe { velas_progress(fraction, 0) };
}

/// How much is asked of the node at once: decoders read a few kilobytes at a time, and each question costs.
const WINDOW_BYTES: u64 = 256 << 10; // 256 KiB
const GONE: &str = "The stored file is gone, or became shorter, while it was read";

/// Whether an error says that the node has no more of the file, rather than that the file is damaged.
pub fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// A file that the node keeps, read range by range as it is asked for.
pub struct StoredFile {
    name: String,
    size: u64,
    position: u64,
    /// What was read last, and where it begins.
    window: Vec<u8>,
    window_at: u64,
}

impl StoredFile {
    /// A call that may not read files ends here.
    pub fn open(name: &str) -> Result<StoredFile, String> {
        let block = Memory::from_bytes(name).map_err(|error| error.to_string())?;
        let size = unsafe { velas_file_size(block.offset()) };
        block.free();
        let size = u64::try_from(size).map_err(|_| format!("The node has no file \"{name}\""))?;
        Ok(StoredFile { name: name.into(), size, position: 0, window: Vec::new(), window_at: 0 })
    }

    fn fill(&mut self) -> io::Result<()> {
        let wanted = (self.size - self.position).min(WINDOW_BYTES);
        let name = Memory::from_bytes(&self.name).map_err(io::Error::other)?;
        let block = unsafe { velas_file_read(name.offset(), self.position as i64, wanted as i64) };
        let content = Memory::find(block).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, GONE))?;
        self.window = content.to_vec();
        self.window_at = self.position;
        // The newest first, which gives the host all of it back.
        content.free();
        name.free();
        Ok(())
    }
}

impl Read for StoredFile {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || target.is_empty() {
            return Ok(0);
        }
        let has = |file: &StoredFile| file.position.checked_sub(file.window_at).filter(|&at| at < file.window.len() as u64);
        if has(self).is_none() {
            self.fill()?;
        }
        let at = has(self).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, GONE))? as usize;
        let count = (self.window.len() - at).min(target.len());
        target[..count].copy_from_slice(&self.window[at..at + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl MediaSource for StoredFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.size)
    }
}
