//! The lowest and the highest sample of each stretch of sound: what a picture of it is drawn from.

use serde::Serialize;

use crate::decode::{Sink, Spec};

/// How many frames a stretch has at first, when the file does not tell how many there will be.
const FIRST_FRAMES: u64 = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drawn {
    sample_rate: u32,
    channels: usize,
    frames: u64,
    duration_seconds: f64,
    frames_per_peak: u64,
    /// `[lowest, highest]` over all channels, from -32768 to 32767.
    peaks: Vec<[i16; 2]>,
}

/// Gathers at most so many stretches in constant memory: when there would be more, each two become one.
pub struct Waveform {
    spec: Spec,
    max_peaks: usize,
    frames_per_peak: u64,
    frames: u64,
    peaks: Vec<[i16; 2]>,
}

impl Waveform {
    pub fn new(max_peaks: usize) -> Waveform {
        let spec = Spec { rate: 1, channels: 1 };
        Waveform { spec, max_peaks, frames_per_peak: FIRST_FRAMES, frames: 0, peaks: Vec::with_capacity(max_peaks) }
    }

    pub fn finish(self) -> Drawn {
        let Spec { rate, channels } = self.spec;
        Drawn {
            sample_rate: rate,
            channels,
            frames: self.frames,
            duration_seconds: (self.frames as f64 / f64::from(rate) * 1e6).round() / 1e6,
            frames_per_peak: self.frames_per_peak,
            peaks: self.peaks,
        }
    }

    fn halve(&mut self) {
        let merged = self.peaks.chunks(2).map(|pair| match pair {
            [a, b] => [a[0].min(b[0]), a[1].max(b[1])],
            _ => pair[0],
        });
        self.peaks = merged.collect();
        self.frames_per_peak *= 2;
    }
}

impl Sink for Waveform {
    fn begin(&mut self, spec: Spec, frames: Option<u64>) {
        self.spec = spec;
        if let Some(frames) = frames {
            self.frames_per_peak = frames.div_ceil(self.max_peaks as u64).max(1);
        }
    }

    fn take(&mut self, samples: &[i16]) -> Result<(), String> {
        for frame in samples.chunks_exact(self.spec.channels) {
            if self.frames == self.peaks.len() as u64 * self.frames_per_peak {
                if self.peaks.len() == self.max_peaks {
                    self.halve();
                }
                if self.frames == self.peaks.len() as u64 * self.frames_per_peak {
                    self.peaks.push([i16::MAX, i16::MIN]);
                }
            }
            let peak = self.peaks.last_mut().expect("one was pushed");
            for &sample in frame {
                peak[0] = peak[0].min(sample);
                peak[1] = peak[1].max(sample);
            }
            self.frames += 1;
        }
        Ok(())
    }
}
