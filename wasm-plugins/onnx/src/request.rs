//! What calls of such plugins have in common: a limit of their size, JSON or not, and the model that they want.

use base64::{engine::general_purpose::STANDARD, Engine};
use serde::de::DeserializeOwned;

use crate::model::{Model, MAX_MODEL_BYTES};
use crate::node;

const MAX_INPUT_BYTES: usize = 8 << 20; // 8 MiB

pub enum ModelSource {
    BuiltIn,
    /// The bytes of an ONNX file.
    Given(Vec<u8>),
    /// The name of a file that the node keeps.
    Stored(String),
}

impl ModelSource {
    /// From the fields `model` and `onnx` of a call.
    pub fn from_fields(model: Option<String>, onnx: Option<String>) -> Result<ModelSource, String> {
        match (model, onnx) {
            (None, None) => Ok(ModelSource::BuiltIn),
            (Some(name), None) => Ok(ModelSource::Stored(name)),
            (None, Some(onnx)) => Ok(ModelSource::Given(from_base64(&onnx, "onnx")?)),
            _ => Err("A call has \"model\" or \"onnx\", not both".into()),
        }
    }

    /// The model that a call brings or names; nothing where it wants the built-in one.
    pub fn read(&self) -> Result<Option<Model>, String> {
        match self {
            ModelSource::BuiltIn => Ok(None),
            ModelSource::Given(bytes) => Model::from_onnx(bytes).map(Some),
            ModelSource::Stored(name) => Model::from_onnx(&node::read_file(name, MAX_MODEL_BYTES)?).map(Some),
        }
    }
}

/// Refuses an empty input and one that is too large. `what` are the things that a call sends, such as `images`.
pub fn check_input_size(input: &[u8], what: &str) -> Result<(), String> {
    match input.len() {
        0 => Err(format!("There are no {what}: the input is empty")),
        size if size > MAX_INPUT_BYTES => {
            Err(format!("The input of {size} bytes is too large: send at most {MAX_INPUT_BYTES}"))
        }
        _ => Ok(()),
    }
}

/// Whether an input is meant as a JSON object: a brace and a quotation mark, with white space around.
pub fn is_json(input: &[u8]) -> bool {
    let mut marks = input.iter().filter(|byte| !b" \t\r\n".contains(byte));
    marks.next() == Some(&b'{') && matches!(marks.next(), Some(b'"' | b'}'))
}

pub fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| format!("The input is no JSON that this plugin knows: {error}"))
}

pub fn from_base64(text: &str, field: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| format!("\"{field}\" is no base64"))
}
