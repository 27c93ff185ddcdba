//! Sound as WAV of 16 bits.

use crate::decode::{Sink, Spec};

pub const MAX_PCM_BYTES: usize = 48 << 20; // 48 MiB
const PIECE_BYTES: usize = 64 << 10; // 64 KiB
const BYTES_PER_SAMPLE: usize = 2;

/// Keeps the sound until its length, which stands at the front of a WAV, is known.
pub struct Wav {
    spec: Spec,
    /// Samples, little-endian, channel by channel.
    pub pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Wav {
    pub fn new() -> Wav {
        Wav { spec: Spec { rate: 0, channels: 0 }, pieces: Vec::new(), bytes: 0 }
    }

    /// RIFF, `fmt ` and the head of `data`: 44 bytes.
    pub fn header(&self) -> Vec<u8> {
        let Spec { rate, channels } = self.spec;
        let frame_bytes = BYTES_PER_SAMPLE * channels;
        let mut header = Vec::with_capacity(44);
        header.extend_from_slice(b"RIFF");
        header.extend_from_slice(&(36 + self.bytes as u32).to_le_bytes());
        header.extend_from_slice(b"WAVEfmt ");
        header.extend_from_slice(&16_u32.to_le_bytes());
        header.extend_from_slice(&1_u16.to_le_bytes()); // PCM
        header.extend_from_slice(&(channels as u16).to_le_bytes());
        header.extend_from_slice(&rate.to_le_bytes());
        header.extend_from_slice(&rate.saturating_mul(frame_bytes as u32).to_le_bytes());
        header.extend_from_slice(&(frame_bytes as u16).to_le_bytes());
        header.extend_from_slice(&(8 * BYTES_PER_SAMPLE as u16).to_le_bytes());
        header.extend_from_slice(b"data");
        header.extend_from_slice(&(self.bytes as u32).to_le_bytes());
        header
    }
}

impl Sink for Wav {
    fn begin(&mut self, spec: Spec, _frames: Option<u64>) {
        self.spec = spec;
    }

    fn take(&mut self, samples: &[i16]) -> Result<(), String> {
        self.bytes += samples.len() * BYTES_PER_SAMPLE;
        if self.bytes > MAX_PCM_BYTES {
            return Err(format!(
                "The sound decodes to more than {MAX_PCM_BYTES} bytes: ask for parts of it (\"from\", \"seconds\")"
            ));
        }
        for sample in samples {
            if self.pieces.last().map_or(true, |piece| piece.len() >= PIECE_BYTES) {
                self.pieces.push(Vec::with_capacity(PIECE_BYTES));
            }
            self.pieces.last_mut().expect("one was pushed").extend_from_slice(&sample.to_le_bytes());
        }
        Ok(())
    }
}
