//! What a call sends: a media file, JSON that names a stored one, or JSON and behind it a media file.

use std::io::{Cursor, ErrorKind};

use serde::Deserialize;
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::node::StoredFile;

const MAX_INPUT_BYTES: usize = 32 << 20; // 32 MiB
const MAX_TAG_BYTES: usize = 64 << 10; // 64 KiB
const MAX_PICTURE_BYTES: usize = 4 << 20; // 4 MiB
const DEFAULT_PEAKS: usize = 800;
const MAX_PEAKS: usize = 8192;

/// The part of the sound that is wanted, in seconds; no end means all of it.
#[derive(Clone, Default)]
pub struct Part {
    pub from: f64,
    pub seconds: Option<f64>,
    /// Whether less than the file promises will do.
    pub partial: bool,
}

enum Source {
    Bytes(Vec<u8>),
    Stored(String),
}

pub struct Request {
    source: Source,
    pub part: Part,
    pub peaks: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRequest {
    file: Option<String>,
    from: Option<f64>,
    seconds: Option<f64>,
    partial: Option<bool>,
    peaks: Option<usize>,
}

impl Request {
    /// `takes` names what the function knows beside `file`.
    pub fn read(mut input: Vec<u8>, function: &str, takes: &[&str]) -> Result<Request, String> {
        match input.len() {
            0 => return Err("There is no media file: the input is empty".into()),
            size if size > MAX_INPUT_BYTES => {
                return Err(format!(
                    "The input of {size} bytes is too large: send at most {MAX_INPUT_BYTES}, or name a stored file"
                ))
            }
            _ => {}
        }
        let mut request = JsonRequest::default();
        // No container begins like JSON.
        if input.trim_ascii_start().starts_with(b"{") {
            let mut values = serde_json::Deserializer::from_slice(&input).into_iter::<JsonRequest>();
            request = match values.next() {
                Some(Ok(request)) => request,
                Some(Err(error)) => return Err(format!("The input is no JSON that this plugin knows: {error}")),
                None => JsonRequest::default(),
            };
            let end = values.byte_offset();
            let media = end + usize::from(input[end..].starts_with(b"\n"));
            input.drain(..media);
        }
        request.check(function, takes)?;
        let source = match request.file {
            Some(_) if !input.trim_ascii().is_empty() => {
                return Err("The input names a stored file, and has media behind it too: send one of them".into())
            }
            Some(name) => Source::Stored(name),
            None if input.is_empty() => {
                return Err("There is no media file: name one in \"file\", or send it behind the JSON".into())
            }
            None => Source::Bytes(input),
        };
        let part = Part {
            from: request.from.unwrap_or(0.0),
            seconds: request.seconds,
            partial: request.partial.unwrap_or(false),
        };
        Ok(Request { source, part, peaks: request.peaks.unwrap_or(DEFAULT_PEAKS) })
    }

    /// Reads the headers.
    pub fn open(self) -> Result<Box<dyn FormatReader>, String> {
        let source: Box<dyn MediaSource> = match self.source {
            Source::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Source::Stored(name) => Box::new(StoredFile::open(&name)?),
        };
        let stream = MediaSourceStream::new(source, Default::default());
        let tags = MetadataOptions::default()
            .limit_tag_bytes(Limit::Maximum(MAX_TAG_BYTES))
            .limit_visual_bytes(Limit::Maximum(MAX_PICTURE_BYTES));
        symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), tags)
            .map_err(|error| match error {
                Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    "The file is cut off, or is no media file that the plugin knows: it ends within its headers".into()
                }
                error => format!("This is no media file that the plugin knows: {error}"),
            })
    }
}

impl JsonRequest {
    fn check(&self, function: &str, takes: &[&str]) -> Result<(), String> {
        let given = [
            ("from", self.from.is_some()),
            ("seconds", self.seconds.is_some()),
            ("partial", self.partial.is_some()),
            ("peaks", self.peaks.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(name, given)| *given && !takes.contains(name)) {
            return Err(format!("{function} takes no \"{name}\""));
        }
        if self.from.is_some_and(|from| !(0.0..=1e9).contains(&from)) {
            return Err("\"from\" has to be a number of seconds from 0 to 1000000000".into());
        }
        if self.seconds.is_some_and(|seconds| !(seconds > 0.0 && seconds <= 1e9)) {
            return Err("\"seconds\" has to be a number above 0, up to 1000000000".into());
        }
        if self.peaks.is_some_and(|peaks| !(1..=MAX_PEAKS).contains(&peaks)) {
            return Err(format!("\"peaks\" has to be a whole number from 1 to {MAX_PEAKS}"));
        }
        Ok(())
    }
}
