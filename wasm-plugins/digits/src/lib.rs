//! Classifies images of 8 by 8 pixels with an ONNX model: the one in `model/`, or one that a call brings or names. The functions answer as
//! those of `grpc-plugins/digits-python` do; docs/ml-plugin.md is the contract of both.

mod network;
mod request;

use std::cell::OnceCell;

use extism_pdk::*;
use network::Network;
use onnx::model::Model;
use onnx::{most_likely, rounded};
use request::Request;
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
    BUILT_IN.with(|cell| drop(cell.set(built_in())));
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
    let rows = match request.model.read().map_err(Error::msg)? {
        Some(model) => Network::new(model).and_then(|network| network.predict(&request.pixels)),
        None => BUILT_IN.with(|cell| match cell.get_or_init(built_in) {
            Ok(network) => network.predict(&request.pixels),
            Err(message) => Err(message.clone()),
        }),
    };
    rows.map_err(Error::msg)
}

fn built_in() -> Result<Network, String> {
    Model::from_onnx(BUILT_IN_MODEL).and_then(Network::new)
}
