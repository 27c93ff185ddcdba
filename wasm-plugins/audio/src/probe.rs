//! What the headers of a media file say.

use std::collections::BTreeMap;

use serde::Serialize;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::audio::{AudioCodecId, CODEC_ID_NULL_AUDIO};
use symphonia::core::codecs::video::well_known::*;
use symphonia::core::codecs::video::{VideoCodecId, CODEC_ID_NULL_VIDEO};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::meta::{StandardTag, Tag};
use symphonia::core::units::{Duration, TimeBase};

const MAX_TAGS: usize = 100;
const MAX_TAG_CHARS: usize = 1000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    container: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    tracks: Vec<ProbedTrack>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProbedTrack {
    id: u32,
    /// `audio`, `video`, `subtitle`, or `unknown`.
    kind: &'static str,
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_sample: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
    /// Whether decode() can decode it.
    decodable: bool,
}

pub fn describe(format: &mut dyn FormatReader) -> Probed {
    let container = format.format_info().short_name;
    let media = *format.media_info();
    let tracks = format.tracks().iter().map(describe_track).collect();
    let mut tags = BTreeMap::new();
    let mut metadata = format.metadata();
    while let Some(revision) = metadata.pop() {
        for tag in &revision.media.tags {
            keep_tag(&mut tags, tag);
        }
    }
    if let Some(revision) = metadata.current() {
        for tag in &revision.media.tags {
            keep_tag(&mut tags, tag);
        }
    }
    Probed { container, duration_seconds: seconds(media.time_base, media.duration), tracks, tags }
}

fn describe_track(track: &Track) -> ProbedTrack {
    let common = ProbedTrack {
        id: track.id,
        kind: "unknown",
        codec: "unknown".into(),
        duration_seconds: seconds(track.time_base, track.duration),
        language: track.language.clone(),
        ..ProbedTrack::default()
    };
    match &track.codec_params {
        Some(CodecParameters::Audio(audio)) => ProbedTrack {
            kind: "audio",
            codec: audio_codec(audio.codec),
            sample_rate: audio.sample_rate,
            channels: audio.channels.as_ref().map(|channels| channels.count()),
            bits_per_sample: audio.bits_per_sample,
            decodable: symphonia::default::get_codecs().get_audio_decoder(audio.codec).is_some(),
            ..common
        },
        Some(CodecParameters::Video(video)) => ProbedTrack {
            kind: "video",
            codec: video_codec(video.codec),
            width: video.width,
            height: video.height,
            ..common
        },
        Some(CodecParameters::Subtitle(_)) => ProbedTrack { kind: "subtitle", ..common },
        _ => common,
    }
}

/// To the microsecond.
pub fn seconds(time_base: Option<TimeBase>, duration: Option<Duration>) -> Option<f64> {
    let time = time_base?.calc_duration(duration?)?;
    Some((time.as_secs_f64() * 1e6).round() / 1e6)
}

/// A codec's short name, such as `mp3`.
pub fn audio_codec(id: AudioCodecId) -> String {
    if let Some(known) = symphonia::default::get_codecs().get_audio_decoder(id) {
        return known.codec.info.short_name.into();
    }
    let name = match id {
        CODEC_ID_OPUS => "opus",
        CODEC_ID_AC3 => "ac3",
        CODEC_ID_EAC3 => "eac3",
        CODEC_ID_DCA => "dts",
        CODEC_ID_SPEEX => "speex",
        CODEC_ID_NULL_AUDIO => "unknown",
        other => return other.to_string(),
    };
    name.into()
}

fn video_codec(id: VideoCodecId) -> String {
    let name = match id {
        CODEC_ID_H264 => "h264",
        CODEC_ID_HEVC => "hevc",
        CODEC_ID_AV1 => "av1",
        CODEC_ID_VP8 => "vp8",
        CODEC_ID_VP9 => "vp9",
        CODEC_ID_MPEG4 => "mpeg4",
        CODEC_ID_MPEG2 => "mpeg2",
        CODEC_ID_MJPEG => "mjpeg",
        CODEC_ID_THEORA => "theora",
        CODEC_ID_NULL_VIDEO => "unknown",
        other => return other.to_string(),
    };
    name.into()
}

fn keep_tag(tags: &mut BTreeMap<String, String>, tag: &Tag) {
    if tags.len() >= MAX_TAGS {
        return;
    }
    let name = match &tag.std {
        Some(StandardTag::TrackTitle(_)) => "title".into(),
        Some(StandardTag::Artist(_)) => "artist".into(),
        Some(StandardTag::Album(_)) => "album".into(),
        Some(StandardTag::Composer(_)) => "composer".into(),
        Some(StandardTag::Genre(_)) => "genre".into(),
        Some(StandardTag::Comment(_)) => "comment".into(),
        Some(StandardTag::Encoder(_)) => "encoder".into(),
        Some(StandardTag::TrackNumber(_)) => "trackNumber".into(),
        Some(StandardTag::RecordingDate(_) | StandardTag::ReleaseDate(_)) => "date".into(),
        _ => clipped(&tag.raw.key),
    };
    tags.entry(name).or_insert_with(|| clipped(&tag.raw.value.to_string()));
}

fn clipped(text: &str) -> String {
    text.chars().take(MAX_TAG_CHARS).collect()
}
