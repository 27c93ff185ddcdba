//! An ONNX model that takes counts of n-grams, and gives an embedding and probabilities.

use onnx::model::{are_probabilities, Model};
use onnx::node;

use crate::ngrams;

const BUCKETS: std::ops::RangeInclusive<usize> = 256..=65_536;
const WIDTHS: std::ops::RangeInclusive<usize> = 2..=1000;
/// Texts that run at once: bounds the memory of a call, and paces its progress.
const BATCH: usize = 64;
/// How far from 1 the length of an embedding may be.
const LENGTH_TOLERANCE: f32 = 1e-3;

pub struct Network {
    model: Model,
    buckets: usize,
    /// Texts that the model takes at once.
    batch: usize,
    /// What the columns of the probabilities mean.
    pub labels: Vec<Label>,
}

/// A class, which the model's file calls `code` or `code name`.
pub struct Label {
    pub code: String,
    pub name: String,
}

/// What a model says of one text.
pub struct Said {
    pub embedding: Vec<f32>,
    pub probabilities: Vec<f32>,
}

impl Network {
    /// Takes a model. The error says what the model is that this plugin does not take.
    pub fn new(model: Model) -> Result<Network, String> {
        let (buckets, batch) = check_input(&model)?;
        let classes = check_outputs(&model)?;
        let labels: Vec<Label> = model.metadata("labels").unwrap_or_default().lines().map(label).collect();
        if labels.len() != classes {
            return Err(format!("The model names {} labels in its metadata for {classes} classes", labels.len()));
        }
        Ok(Network { model, buckets, batch, labels })
    }

    pub fn predict(&self, texts: &[String]) -> Result<Vec<Said>, String> {
        let mut said = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.batch) {
            self.run(batch, &mut said)?;
            if said.len() % BATCH == 0 && said.len() < texts.len() {
                node::report_progress(said.len() as f64 / texts.len() as f64);
            }
        }
        Ok(said)
    }

    fn run(&self, texts: &[String], said: &mut Vec<Said>) -> Result<(), String> {
        let mut counts = vec![0f32; texts.len() * self.buckets];
        for (i, (text, row)) in texts.iter().zip(counts.chunks_exact_mut(self.buckets)).enumerate() {
            if !ngrams::count(text, row) {
                return Err(format!("Text {} has no letters", said.len() + i));
            }
        }
        let outputs = self.model.run(&[texts.len(), self.buckets], &counts)?;
        let [embeddings, probabilities] = &outputs[..] else { unreachable!("check_outputs counted them") };
        if probabilities.width != self.labels.len() {
            return Err(format!("The model gave {} values a text for {} classes", probabilities.width, self.labels.len()));
        }
        let rows = embeddings.values.chunks_exact(embeddings.width);
        for (embedding, probabilities) in rows.zip(probabilities.values.chunks_exact(probabilities.width)) {
            let text = said.len();
            let length = embedding.iter().map(|x| x * x).sum::<f32>().sqrt();
            // A comparison with NaN is false, so NaN is refused too.
            if !((length - 1.0).abs() <= LENGTH_TOLERANCE) {
                return Err(format!("The model gives no unit vector for text {text}: let it divide by the length"));
            }
            if !are_probabilities(probabilities) {
                return Err(format!("The model gives no probabilities for text {text}: let it end with Softmax"));
            }
            said.push(Said { embedding: embedding.to_vec(), probabilities: probabilities.to_vec() });
        }
        Ok(())
    }
}

fn label(line: &str) -> Label {
    let (code, name) = line.split_once(' ').unwrap_or((line, line));
    Label { code: code.into(), name: name.into() }
}

/// The number of buckets, and how many texts the model takes at once.
fn check_input(model: &Model) -> Result<(usize, usize), String> {
    let refuse = |what: &str| {
        let (least, most) = (BUCKETS.start(), BUCKETS.end());
        format!("The model takes {what}, and this plugin gives it float32 [batch, {least} to {most} buckets]")
    };
    let [only] = &model.inputs[..] else {
        return Err(refuse(&format!("{} inputs", model.inputs.len())));
    };
    match only.batched() {
        Some((sizes, one)) if sizes.len() == 1 && BUCKETS.contains(&sizes[0]) => Ok((sizes[0], if one { 1 } else { BATCH })),
        _ => Err(refuse(&only.shown)),
    }
}

/// The number of classes.
fn check_outputs(model: &Model) -> Result<usize, String> {
    let refuse = |what: &str| {
        let (least, most) = (WIDTHS.start(), WIDTHS.end());
        format!(
            "The model gives {what}, and this plugin wants an embedding and probabilities, float32 [batch, {least} to {most}] each"
        )
    };
    let [embedding, probabilities] = &model.outputs[..] else {
        return Err(refuse(&format!("{} outputs", model.outputs.len())));
    };
    let fits = |width: &usize| WIDTHS.contains(width);
    embedding.row_width().filter(fits).ok_or_else(|| refuse(&embedding.shown))?;
    probabilities.row_width().filter(fits).ok_or_else(|| refuse(&probabilities.shown))
}
