//! What plugins that run ONNX models share: the model that a call wants, its reading, checks and runs, and what is asked of the node.

pub mod model;
pub mod node;
pub mod request;

/// The first of the largest.
pub fn most_likely(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// Six decimals: further ones are noise of the order in which a runtime adds.
pub fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
