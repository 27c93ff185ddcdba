//! An ONNX model, run by tract.

use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::prelude::*;

pub const MAX_MODEL_BYTES: usize = 4 << 20; // 4 MiB
/// How far from 1 the probabilities of a row may sum.
const SUM_TOLERANCE: f32 = 1e-3;

pub struct Model {
    plan: Arc<TypedSimplePlan>,
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
    properties: Properties,
}

type Properties = std::collections::HashMap<String, Arc<Tensor>>;

/// One thing that a model takes or gives.
pub struct Slot {
    is_float32: bool,
    /// `None` where a size is open.
    dims: Vec<Option<usize>>,
    /// Its type and shape in words, such as `float32 [batch, 16]`.
    pub shown: String,
}

/// What a run gave: as many values a row as `width` says.
pub struct Rows {
    pub values: Vec<f32>,
    pub width: usize,
}

impl Model {
    /// Reads an ONNX file.
    pub fn from_onnx(bytes: &[u8]) -> Result<Model, String> {
        if bytes.len() > MAX_MODEL_BYTES {
            return Err(format!("The model of {} bytes is too large: it may have at most {MAX_MODEL_BYTES}", bytes.len()));
        }
        let unreadable = |error| format!("The model cannot be read: {error:#}");
        let read = tract_onnx::onnx().model_for_read(&mut Cursor::new(bytes)).map_err(unreadable)?;
        let properties = read.properties.clone();
        let model = read.into_typed().map_err(unreadable)?;
        let inputs = slots(model.input_outlets().map_err(unreadable)?, &model).map_err(unreadable)?;
        let outputs = slots(model.output_outlets().map_err(unreadable)?, &model).map_err(unreadable)?;
        let plan = model.into_optimized().and_then(|model| model.into_runnable()).map_err(unreadable)?;
        Ok(Model { plan, inputs, outputs, properties })
    }

    /// A text that the file brings beside the model, from its `metadata_props`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let tensor = self.properties.get(&format!("onnx.metadata_props.{key}"))?;
        tensor.to_plain_array_view::<String>().ok()?.first().cloned()
    }

    /// Runs the model once. `shape` is that of the input, the batch first; each output has a row for each of it.
    pub fn run(&self, shape: &[usize], values: &[f32]) -> Result<Vec<Rows>, String> {
        let failed = |error| format!("The model failed: {error:#}");
        let tensor = Tensor::from_shape(shape, values).map_err(failed)?;
        let outputs = self.plan.run(tvec!(tensor.into())).map_err(failed)?;
        let rows = outputs.iter().map(|output| {
            let view = output.to_plain_array_view::<f32>().map_err(failed)?;
            match *view.shape() {
                [count, width] if count == shape[0] => Ok(Rows { values: view.iter().copied().collect(), width }),
                _ => Err(format!("The model gave {:?} for a batch of {}", view.shape(), shape[0])),
            }
        });
        rows.collect()
    }
}

impl Slot {
    /// Sizes behind the batch, and whether the model takes one at a time; nothing where it is no float32 with a batch of any size or 1.
    pub fn batched(&self) -> Option<(Vec<usize>, bool)> {
        let one = match self.dims.first() {
            Some(None) => false,
            Some(Some(1)) => true,
            _ => return None,
        };
        let sizes: Option<Vec<usize>> = self.dims[1..].iter().copied().collect();
        Some((sizes.filter(|_| self.is_float32)?, one))
    }

    /// How wide the rows of an output are; nothing where it is no float32 of two dimensions, whatever the first is.
    pub fn row_width(&self) -> Option<usize> {
        match self.dims[..] {
            [_, Some(width)] if self.is_float32 => Some(width),
            _ => None,
        }
    }
}

/// Whether a row has values from 0 to 1 whose sum is 1.
pub fn are_probabilities(row: &[f32]) -> bool {
    let sum: f32 = row.iter().sum();
    row.iter().all(|p| (0.0..=1.0 + SUM_TOLERANCE).contains(p)) && (sum - 1.0).abs() <= SUM_TOLERANCE
}

fn slots(outlets: &[OutletId], model: &TypedModel) -> TractResult<Vec<Slot>> {
    outlets.iter().map(|&outlet| model.outlet_fact(outlet).map(slot)).collect()
}

fn slot(fact: &TypedFact) -> Slot {
    let dims: Vec<Option<usize>> =
        fact.shape.iter().map(|dim| dim.to_i64().ok().and_then(|size| usize::try_from(size).ok())).collect();
    let is_float32 = fact.datum_type == f32::datum_type();
    let kind = if is_float32 { "float32".into() } else { format!("{:?}", fact.datum_type) };
    let sizes: Vec<String> = dims.iter().map(|dim| dim.map_or("batch".into(), |size| size.to_string())).collect();
    Slot { is_float32, dims, shown: format!("{kind} [{}]", sizes.join(", ")) }
}
