//! What a call sends: one text, JSON lines of texts, or JSON with texts and a model.

use onnx::request::{check_input_size, from_json, is_json, ModelSource};
use serde::Deserialize;

const MAX_TEXTS: usize = 4096;
const MAX_TEXT_BYTES: usize = 64 << 10; // 64 KiB

pub struct Request {
    pub model: ModelSource,
    /// At least one.
    pub texts: Vec<String>,
    /// One a text, or none at all.
    pub labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRequest {
    texts: Vec<String>,
    labels: Option<Vec<String>>,
    model: Option<String>,
    onnx: Option<String>,
}

impl Request {
    /// Texts without labels, for the function `name`. One that begins with `"` or `{"` has to travel in JSON.
    pub fn texts(input: &[u8], name: &str) -> Result<Request, String> {
        check_input_size(input, "texts")?;
        if is_json(input) {
            let request = Request::from_json(input)?;
            if !request.labels.is_empty() {
                return Err(format!("{name} takes no labels; evaluate does"));
            }
            return Ok(request);
        }
        let text = std::str::from_utf8(input).map_err(|error| format!("The input is no UTF-8 from byte {}", error.valid_up_to()))?;
        let texts = if text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('"') {
            from_lines(text)?
        } else {
            vec![text.into()]
        };
        check_texts(&texts)?;
        Ok(Request { model: ModelSource::BuiltIn, texts, labels: Vec::new() })
    }

    /// Texts with labels, in JSON.
    pub fn labeled_texts(input: &[u8]) -> Result<Request, String> {
        check_input_size(input, "texts")?;
        let request = Request::from_json(input)?;
        if request.labels.is_empty() {
            return Err("evaluate wants \"labels\", one a text".into());
        }
        Ok(request)
    }

    fn from_json(input: &[u8]) -> Result<Request, String> {
        let request: JsonRequest = from_json(input)?;
        let model = ModelSource::from_fields(request.model, request.onnx)?;
        let texts = request.texts;
        check_texts(&texts)?;
        let labels = request.labels.unwrap_or_default();
        if !labels.is_empty() && labels.len() != texts.len() {
            return Err(format!("There are {} labels for {} texts", labels.len(), texts.len()));
        }
        Ok(Request { model, texts, labels })
    }
}

/// A JSON string each line; lines of white space alone are passed over.
fn from_lines(text: &str) -> Result<Vec<String>, String> {
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim_matches([' ', '\t', '\r']).is_empty());
    lines
        .map(|(i, line)| from_json(line.as_bytes()).map_err(|_| format!("Line {} is no JSON string", i + 1)))
        .collect()
}

fn check_texts(texts: &[String]) -> Result<(), String> {
    match texts.len() {
        0 => return Err("There are no texts: the list is empty".into()),
        count if count > MAX_TEXTS => {
            return Err(format!("{count} texts are too many for a call: send at most {MAX_TEXTS}"));
        }
        _ => {}
    }
    match texts.iter().enumerate().find(|(_, text)| text.len() > MAX_TEXT_BYTES) {
        Some((i, text)) => Err(format!("Text {i} has {} bytes, and a text may have at most {MAX_TEXT_BYTES}", text.len())),
        None => Ok(()),
    }
}
