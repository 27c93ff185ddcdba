//! Classifies images of 8 by 8 pixels with an ONNX model: the one in `model/`, or one that a call brings or names. The functions answer as
//! those of `grpc-plugins/digits-python` do; docs/ml-plugin.md is the contract of both.

mod node;
mod network;
mod request;

use std::cell::OnceCell;

use extism_pdk::*;
use network::Network;
use request::{ModelSource, Request};
use serde::Serialize;

#[used]
#[link_section = "velas:manifest"]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

static BUILT_IN_MODEL: &[u8] = include_bytes!("../model/digits.onnx");

thread_local! {
    static BUILT_IN: OnceCell<Result<Network, String>> = const { OnceCell::new() };
}

extern "C" {
    fn __wasm_call_ctors();
}

/// Runs once an instance, before any call: readies the model that most calls use, so that none of them counts it.
///
/// The linker leaves the constructors of static data, which tract has, to this function because it calls them by name.
#[no_mangle]
pub extern "C" fn _initialize() {
    unsafe { __wasm_call_ctors() };
    BUILT_IN.with(|cell| drop(cell.set(Network::from_onnx(BUILT_IN_MODEL))));
}

#[derive(Serialize)]
struct Classified {
    classes: Vec<usize>,
    probabilities: Vec<Vec<f64>>,
}

#[derive(Serialize)]
struct Evaluated {
    images: usize,
    correct: usize,
    accuracy: f64,
    /// A row for each true class, a column for each class that the model chose.
    confusion: Vec<Vec<usize>>,
}

/// Tells the class of each image, and the probability of each class.
#[plugin_fn]
pub fn classify(input: Vec<u8>) -> FnResult<Json<Classified>> {
    let request = Request::images(&input).map_err(Error::msg)?;
    let rows = predict(&request)?;
    let classes = rows.iter().map(|row| most_likely(row)).collect();
    let probabilities = rows.iter().map(|row| row.iter().map(|&p| rounded(p as f64)).collect()).collect();
    Ok(Json(Classified { classes, probabilities }))
}

/// Classifies images whose classes are known, and counts how often the model was right.
#[plugin_fn]
pub fn evaluate(input: Vec<u8>) -> FnResult<Json<Evaluated>> {
    let request = Request::labeled_images(&input).map_err(Error::msg)?;
    let rows = predict(&request)?;
    let known = rows[0].len();
    if let Some((i, label)) = request.labels.iter().enumerate().find(|(_, &label)| label >= known) {
        return Err(Error::msg(format!("Label {i} is {label}, and the model has the classes 0 to {}", known - 1)).into());
    }
    let mut confusion = vec![vec![0; known]; known];
    for (row, &label) in rows.iter().zip(&request.labels) {
        confusion[label][most_likely(row)] += 1;
    }
    let correct = (0..known).map(|class| confusion[class][class]).sum();
    let accuracy = rounded(correct as f64 / rows.len() as f64);
    Ok(Json(Evaluated { images: rows.len(), correct, accuracy, confusion }))
}

/// The probabilities of each image's classes, by the model that the request wants.
fn predict(request: &Request) -> Result<Vec<Vec<f32>>, Error> {
    let from_onnx = |bytes: &[u8]| Network::from_onnx(bytes).and_then(|network| network.predict(&request.pixels));
    match &request.model {
        ModelSource::BuiltIn => BUILT_IN.with(|cell| match cell.get() {
            Some(Ok(network)) => network.predict(&request.pixels),
            Some(Err(message)) => Err(message.clone()),
            None => from_onnx(BUILT_IN_MODEL), // a host that does not run _initialize
        }),
        ModelSource::Given(bytes) => from_onnx(bytes),
        ModelSource::Stored(name) => from_onnx(&node::read_file(name, network::MAX_MODEL_BYTES)?),
    }
    .map_err(Error::msg)
}

/// The first of the largest.
fn most_likely(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// Six decimals: further ones are noise of the order in which a runtime adds.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
