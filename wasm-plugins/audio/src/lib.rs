//! Tells what is in a media file, draws its sound, and decodes it; README.md says what the functions take and give.

mod decode;
mod media;
mod node;
mod probe;
mod wav;
mod waveform;

use extism_pdk::*;
use media::Request;
use wav::Wav;
use waveform::{Drawn, Waveform};

#[used]
#[link_section = "velas:manifest"]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

/// Container, duration, tracks and tags of a media file.
#[plugin_fn]
pub fn probe(input: Vec<u8>) -> FnResult<Json<probe::Probed>> {
    let request = Request::read(input, "probe", &[]).map_err(Error::msg)?;
    let mut format = request.open().map_err(Error::msg)?;
    Ok(Json(probe::describe(format.as_mut())))
}

/// The lowest and highest samples of stretches of the sound.
#[plugin_fn]
pub fn waveform(input: Vec<u8>) -> FnResult<Json<Drawn>> {
    let request = Request::read(input, "waveform", &["from", "seconds", "partial", "peaks"]).map_err(Error::msg)?;
    let part = request.part.clone();
    let mut waveform = Waveform::new(request.peaks);
    decode::decode(request.open().map_err(Error::msg)?, &part, &mut waveform).map_err(Error::msg)?;
    Ok(Json(waveform.finish()))
}

/// The sound of a media file as WAV of 16 bits, piece by piece.
#[plugin_fn]
pub fn decode(input: Vec<u8>) -> FnResult<()> {
    let request = Request::read(input, "decode", &["from", "seconds", "partial"]).map_err(Error::msg)?;
    let part = request.part.clone();
    let mut wav = Wav::new();
    decode::decode(request.open().map_err(Error::msg)?, &part, &mut wav).map_err(Error::msg)?;
    node::write_output(&wav.header())?;
    for piece in &wav.pieces {
        node::write_output(piece)?;
    }
    Ok(())
}
