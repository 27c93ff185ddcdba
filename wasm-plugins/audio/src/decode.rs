//! Decodes the sound of a media file, packet by packet.

use symphonia::core::codecs::audio::well_known::CODEC_ID_MP3;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::units::Time;

use crate::media::Part;
use crate::{node, probe};

/// Packets between two reports of progress.
const REPORT_EVERY: usize = 256;
/// What encoders add at both ends, and containers do not count, makes no file cut off.
const SLACK_FRAMES: f64 = 2400.0;

#[derive(Clone, Copy, PartialEq)]
pub struct Spec {
    pub rate: u32,
    pub channels: usize,
}

/// Where decoded sound goes.
pub trait Sink {
    /// Called once, before any samples. `frames` is how many will come, as far as the file tells.
    fn begin(&mut self, spec: Spec, frames: Option<u64>);
    /// Takes interleaved samples, whole frames of them.
    fn take(&mut self, samples: &[i16]) -> Result<(), String>;
}

/// Decodes the part that is wanted of the default audio track. Packets that are damaged are left out, as players do, unless all are; a
/// file that ends before its headers say so is an error, unless that is wanted too.
pub fn decode(mut format: Box<dyn FormatReader>, part: &Part, sink: &mut dyn Sink) -> Result<(), String> {
    let track = format.default_track(TrackType::Audio).ok_or("There is no sound in the file")?;
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
        return Err("There is no sound in the file".into());
    };
    let id = track.id;
    let time_base = track.time_base;
    let length = probe::seconds(time_base, track.duration);
    // Without a tag that counts its frames, the length of an MP3 is an estimate.
    let length_is_sure = parameters.codec != CODEC_ID_MP3 || track.delay.is_some();
    let codec = probe::audio_codec(parameters.codec);
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| format!("The sound is {codec}, which this plugin does not decode: {error}"))?;

    if part.from > 0.0 {
        let time = Time::try_from_secs_f64(part.from).ok_or("\"from\" is out of range")?;
        format
            .seek(SeekMode::Accurate, SeekTo::Time { time, track_id: Some(id) })
            .map_err(|error| format!("The sound has no place at {} seconds: {error}", part.from))?;
    }
    let left = length.map(|length| (length - part.from).max(0.0));
    let expected = match (left, part.seconds) {
        (Some(left), Some(seconds)) => Some(left.min(seconds)),
        (left, seconds) => left.or(seconds),
    };

    let mut spec: Option<Spec> = None;
    let mut samples: Vec<i16> = Vec::new();
    let mut done: u64 = 0; // frames
    let mut wanted = u64::MAX;
    let mut early: usize = 0; // frames still to be left out before the place that was asked for
    let mut fault: Option<String> = None;
    let mut number = 0;
    while done < wanted {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(Error::IoError(error)) if node::is_refusal(&error) => return Err(error.to_string()),
            Err(error) => {
                fault = Some(error.to_string());
                break;
            }
        };
        if packet.track_id != id {
            continue;
        }
        let buffer = match decoder.decode(&packet) {
            Ok(buffer) => buffer,
            Err(Error::DecodeError(what)) => {
                fault.get_or_insert_with(|| what.into());
                continue;
            }
            Err(error) => return Err(format!("The sound cannot be decoded: {error}")),
        };
        let has = Spec { rate: buffer.spec().rate(), channels: buffer.spec().channels().count() };
        if has.rate == 0 || has.channels == 0 || buffer.frames() == 0 {
            continue;
        }
        match spec {
            None => {
                let frames = |seconds: f64| (seconds * f64::from(has.rate)).round() as u64;
                wanted = part.seconds.map_or(u64::MAX, frames);
                let begin = time_base.and_then(|base| base.calc_time(packet.pts)).map_or(0.0, |time| time.as_secs_f64());
                early = ((part.from - begin).max(0.0) * f64::from(has.rate)).round() as usize;
                sink.begin(has, expected.map(frames));
                spec = Some(has);
            }
            Some(spec) if spec == has => {}
            Some(spec) => {
                return Err(format!(
                    "The sound changes from {} Hz and {} channels to {} Hz and {}, and cannot be given as one",
                    spec.rate, spec.channels, has.rate, has.channels
                ))
            }
        }
        buffer.copy_to_vec_interleaved(&mut samples);
        let dropped = early.min(samples.len() / has.channels);
        early -= dropped;
        let frames = ((samples.len() / has.channels - dropped) as u64).min(wanted - done);
        let begin = dropped * has.channels;
        sink.take(&samples[begin..begin + frames as usize * has.channels])?;
        done += frames;
        number += 1;
        if number % REPORT_EVERY == 0 {
            if let Some(expected) = expected.filter(|&expected| expected > 0.0) {
                node::report_progress((done as f64 / f64::from(has.rate) / expected).min(1.0));
            }
        }
    }
    let Some(spec) = spec.filter(|_| done > 0) else {
        return Err(match fault {
            Some(what) => format!("The sound cannot be decoded: {what}"),
            None if part.from > 0.0 => format!("The sound ends before {} seconds", part.from),
            None => "There is no sound in the file".into(),
        });
    };
    let missing = expected.map_or(0.0, |expected| expected * f64::from(spec.rate) - done as f64);
    if !part.partial && length_is_sure && missing > SLACK_FRAMES {
        let seconds = done as f64 / f64::from(spec.rate);
        let why = fault.map_or(String::new(), |what| format!(" ({what})"));
        return Err(format!(
            "The file is damaged or cut off: {seconds:.2} of {:.2} seconds of sound can be decoded{why}; \"partial\": true takes them",
            expected.unwrap_or(0.0)
        ));
    }
    Ok(())
}
