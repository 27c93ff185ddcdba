//! What a call sends: images as bytes, or JSON with images and a model.

use onnx::request::{check_input_size, from_base64, from_json, is_json, ModelSource};
use serde::Deserialize;

pub const PIXELS: usize = 64;
const MAX_IMAGES: usize = 4096;

pub struct Request {
    pub model: ModelSource,
    /// 64 bytes an image; at least one image.
    pub pixels: Vec<u8>,
    /// One an image, or none at all.
    pub labels: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRequest {
    images: JsonImages,
    labels: Option<Vec<usize>>,
    model: Option<String>,
    onnx: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonImages {
    Base64(String),
    Lists(Vec<Vec<f64>>),
}

impl Request {
    /// Images without labels: 64 bytes each, or JSON. An image whose first pixels are 123 and 34 has to travel in JSON.
    pub fn images(input: &[u8]) -> Result<Request, String> {
        check_input_size(input, "images")?;
        if is_json(input) {
            let request = Request::from_json(input)?;
            if !request.labels.is_empty() {
                return Err("classify takes no labels; evaluate does".into());
            }
            return Ok(request);
        }
        let pixels = whole_records(input, PIXELS, "classify")?.to_vec();
        Ok(Request { model: ModelSource::BuiltIn, pixels, labels: Vec::new() })
    }

    /// Images with labels: 65 bytes each, the last being the label, or JSON.
    pub fn labeled_images(input: &[u8]) -> Result<Request, String> {
        check_input_size(input, "images")?;
        if is_json(input) {
            let request = Request::from_json(input)?;
            if request.labels.is_empty() {
                return Err("evaluate wants \"labels\", one an image".into());
            }
            return Ok(request);
        }
        let records = whole_records(input, PIXELS + 1, "evaluate")?;
        let mut pixels = Vec::with_capacity(records.len());
        let mut labels = Vec::new();
        for record in records.chunks_exact(PIXELS + 1) {
            pixels.extend_from_slice(&record[..PIXELS]);
            labels.push(record[PIXELS].into());
        }
        Ok(Request { model: ModelSource::BuiltIn, pixels, labels })
    }

    fn from_json(input: &[u8]) -> Result<Request, String> {
        let request: JsonRequest = from_json(input)?;
        let model = ModelSource::from_fields(request.model, request.onnx)?;
        let pixels = match request.images {
            JsonImages::Base64(text) => whole_records(&from_base64(&text, "images")?, PIXELS, "images")?.to_vec(),
            JsonImages::Lists(images) => from_lists(&images)?,
        };
        let count = pixels.len() / PIXELS;
        let labels = request.labels.unwrap_or_default();
        if !labels.is_empty() && labels.len() != count {
            return Err(format!("There are {} labels for {count} images", labels.len()));
        }
        Ok(Request { model, pixels, labels })
    }
}

fn whole_records<'a>(bytes: &'a [u8], size: usize, what: &str) -> Result<&'a [u8], String> {
    if bytes.is_empty() || bytes.len() % size != 0 {
        return Err(format!("{what} takes {size} bytes an image, and {} bytes are no multiple of that", bytes.len()));
    }
    check_count(bytes.len() / size)?;
    Ok(bytes)
}

fn check_count(count: usize) -> Result<(), String> {
    match count {
        0 => Err("There are no images: the list is empty".into()),
        _ if count > MAX_IMAGES => Err(format!("{count} images are too many for a call: send at most {MAX_IMAGES}")),
        _ => Ok(()),
    }
}

fn from_lists(images: &[Vec<f64>]) -> Result<Vec<u8>, String> {
    check_count(images.len())?;
    let mut pixels = Vec::with_capacity(images.len() * PIXELS);
    for (i, image) in images.iter().enumerate() {
        if image.len() != PIXELS {
            return Err(format!("Image {i} has {} pixels, and the model takes {PIXELS}", image.len()));
        }
        for &pixel in image {
            if pixel.fract() != 0.0 || !(0.0..=255.0).contains(&pixel) {
                return Err(format!("Image {i} has a pixel that is no whole number from 0 to 255"));
            }
            pixels.push(pixel as u8);
        }
    }
    Ok(pixels)
}
