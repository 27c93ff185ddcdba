//! An ONNX model that takes images and gives probabilities.

use onnx::model::{are_probabilities, Model};
use onnx::node;

use crate::request::PIXELS;

const MAX_CLASSES: usize = 1000;
/// Images that run at once: bounds the memory of a call, and paces its progress.
const BATCH: usize = 256;

pub struct Network {
    model: Model,
    /// The shape of one image, without the batch.
    image: Vec<usize>,
    /// Images that the model takes at once: 1 when it says so, else as many as there are.
    batch: usize,
    classes: usize,
}

impl Network {
    /// Takes a model. The error says what the model is that this plugin does not take.
    pub fn new(model: Model) -> Result<Network, String> {
        let (image, batch) = check_input(&model)?;
        let classes = check_output(&model)?;
        Ok(Network { model, image, batch, classes })
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
        let count = images.len() / PIXELS;
        let values: Vec<f32> = images.iter().map(|&pixel| pixel.into()).collect();
        let shape: Vec<usize> = std::iter::once(count).chain(self.image.iter().copied()).collect();
        let output = &self.model.run(&shape, &values)?[0];
        if output.width != self.classes {
            return Err(format!("The model gave {} values an image for {} classes", output.width, self.classes));
        }
        for row in output.values.chunks_exact(output.width) {
            if !are_probabilities(row) {
                return Err(format!("The model gives no probabilities for image {}: let it end with Softmax", rows.len()));
            }
            rows.push(row.to_vec());
        }
        Ok(())
    }
}

/// The shape of an image, and how many the model takes at once.
fn check_input(model: &Model) -> Result<(Vec<usize>, usize), String> {
    let refuse = |what: &str| {
        format!("The model takes {what}, and this plugin gives it float32 [batch, 64] or [batch, 1, 8, 8]")
    };
    let [only] = &model.inputs[..] else {
        return Err(refuse(&format!("{} inputs", model.inputs.len())));
    };
    match only.batched() {
        Some((image, one)) if image[..] == [PIXELS] || image[..] == [1, 8, 8] => Ok((image, if one { 1 } else { BATCH })),
        _ => Err(refuse(&only.shown)),
    }
}

/// The number of classes.
fn check_output(model: &Model) -> Result<usize, String> {
    let refuse =
        |what: &str| format!("The model gives {what}, and this plugin wants one output, float32 [batch, 2 to {MAX_CLASSES} classes]");
    let [only] = &model.outputs[..] else {
        return Err(refuse(&format!("{} outputs", model.outputs.len())));
    };
    only.row_width().filter(|classes| (2..=MAX_CLASSES).contains(classes)).ok_or_else(|| refuse(&only.shown))
}
