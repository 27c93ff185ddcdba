//! An ONNX model that takes images and gives probabilities.

use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::prelude::*;

use crate::node;
use crate::request::PIXELS;

pub const MAX_MODEL_BYTES: usize = 4 << 20; // 4 MiB
const MAX_CLASSES: usize = 1000;
/// Images that run at once: bounds the memory of a call, and paces its progress.
const BATCH: usize = 256;
/// How far from 1 the probabilities of an image may sum.
const SUM_TOLERANCE: f32 = 1e-3;

pub struct Network {
    plan: Arc<TypedSimplePlan>,
    /// The shape of one image, without the batch.
    image: Vec<usize>,
    /// Images that the model takes at once: 1 when it says so, else as many as there are.
    batch: usize,
    classes: usize,
}

impl Network {
    /// Reads an ONNX file. The error says what the model is that this plugin does not take.
    pub fn from_onnx(bytes: &[u8]) -> Result<Network, String> {
        if bytes.len() > MAX_MODEL_BYTES {
            return Err(format!("The model of {} bytes is too large: it may have at most {MAX_MODEL_BYTES}", bytes.len()));
        }
        let unreadable = |error| format!("The model cannot be read: {error:#}");
        let model = tract_onnx::onnx()
            .model_for_read(&mut Cursor::new(bytes))
            .and_then(|model| model.into_typed())
            .map_err(unreadable)?;
        let (image, batch) = check_input(&model)?;
        let classes = check_output(&model)?;
        let plan = model.into_optimized().and_then(|model| model.into_runnable()).map_err(unreadable)?;
        Ok(Network { plan, image, batch, classes })
    }

    /// The probabilities of each image's classes. `pixels` has 64 bytes an image.
    pub fn predict(&self, pixels: &[u8]) -> Result<Vec<Vec<f32>>, String> {
        let count = pixels.len() / PIXELS;
        let mut rows = Vec::with_capacity(count);
        for images in pixels.chunks(self.batch * PIXELS) {
            self.run(images, &mut rows)?;
            if rows.len() % BATCH == 0 && rows.len() < count {
                node::report_progress(rows.len() as f64 / count as f64);
            }
        }
        Ok(rows)
    }

    fn run(&self, images: &[u8], rows: &mut Vec<Vec<f32>>) -> Result<(), String> {
        let failed = |error| format!("The model failed: {error:#}");
        let count = images.len() / PIXELS;
        let values: Vec<f32> = images.iter().map(|&pixel| pixel.into()).collect();
        let shape: Vec<usize> = std::iter::once(count).chain(self.image.iter().copied()).collect();
        let tensor = Tensor::from_shape(&shape, &values).map_err(failed)?;
        let outputs = self.plan.run(tvec!(tensor.into())).map_err(failed)?;
        let output = outputs[0].to_plain_array_view::<f32>().map_err(failed)?;
        if output.shape() != [count, self.classes] {
            return Err(format!("The model gave {:?} for {count} images of {} classes", output.shape(), self.classes));
        }
        for row in output.outer_iter() {
            let row: Vec<f32> = row.iter().copied().collect();
            let sum: f32 = row.iter().sum();
            if row.iter().any(|p| !(0.0..=1.0 + SUM_TOLERANCE).contains(p)) || (sum - 1.0).abs() > SUM_TOLERANCE {
                return Err(format!("The model gives no probabilities for image {}: let it end with Softmax", rows.len()));
            }
            rows.push(row);
        }
        Ok(())
    }
}

/// The shape of an image, and how many the model takes at once.
fn check_input(model: &TypedModel) -> Result<(Vec<usize>, usize), String> {
    let inputs = model.input_outlets().map_err(|error| format!("{error:#}"))?;
    let refuse = |what: String| {
        format!("The model takes {what}, and this plugin gives it float32 [batch, 64] or [batch, 1, 8, 8]")
    };
    if inputs.len() != 1 {
        return Err(refuse(format!("{} inputs", inputs.len())));
    }
    let fact = model.input_fact(0).map_err(|error| format!("{error:#}"))?;
    let dims = known_dims(fact);
    let image: Option<Vec<usize>> = dims.iter().skip(1).copied().collect();
    match (&image, dims.first()) {
        (Some(image), Some(batch @ (None | Some(1))))
            if fact.datum_type == f32::datum_type() && (image[..] == [PIXELS] || image[..] == [1, 8, 8]) =>
        {
            Ok((image.clone(), if batch.is_some() { 1 } else { BATCH }))
        }
        _ => Err(refuse(shown(fact))),
    }
}

/// The number of classes.
fn check_output(model: &TypedModel) -> Result<usize, String> {
    let refuse =
        |what: String| format!("The model gives {what}, and this plugin wants one output, float32 [batch, 2 to {MAX_CLASSES} classes]");
    let outputs = model.output_outlets().map_err(|error| format!("{error:#}"))?;
    if outputs.len() != 1 {
        return Err(refuse(format!("{} outputs", outputs.len())));
    }
    let fact = model.output_fact(0).map_err(|error| format!("{error:#}"))?;
    match known_dims(fact)[..] {
        [_, Some(classes)] if fact.datum_type == f32::datum_type() && (2..=MAX_CLASSES).contains(&classes) => Ok(classes),
        _ => Err(refuse(shown(fact))),
    }
}

fn known_dims(fact: &TypedFact) -> Vec<Option<usize>> {
    fact.shape.iter().map(|dim| dim.to_i64().ok().and_then(|size| usize::try_from(size).ok())).collect()
}

/// A type and shape in words, such as `float32 [batch, 16]`.
fn shown(fact: &TypedFact) -> String {
    let kind = if fact.datum_type == f32::datum_type() { "float32".into() } else { format!("{:?}", fact.datum_type) };
    let dims: Vec<String> =
        known_dims(fact).iter().map(|dim| dim.map_or("batch".into(), |size| size.to_string())).collect();
    format!("{kind} [{}]", dims.join(", "))
}
