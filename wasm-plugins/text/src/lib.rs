//! Tells languages and embeds texts with an ONNX model: the one in `model/`, or one that a call brings or names. The functions answer as
//! those of `grpc-plugins/text-python` do; docs/text-plugin.md is the contract of both.

mod network;
mod ngrams;
mod request;

use std::cell::OnceCell;

use extism_pdk::*;
use network::{Label, Network, Said};
use onnx::model::Model;
use onnx::{most_likely, rounded};
use request::Request;
use serde::Serialize;

#[used]
#[link_section = "velas:manifest"]
static MANIFEST: [u8; include_bytes!("../manifest.json").len()] = *include_bytes!("../manifest.json");

static BUILT_IN_MODEL: &[u8] = include_bytes!("../model/languages.onnx");

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
struct Languages {
    languages: Vec<Language>,
}

#[derive(Serialize)]
struct Language {
    language: String,
    name: String,
    probability: f64,
}

#[derive(Serialize)]
struct Embedded {
    embeddings: Vec<Vec<f64>>,
}

#[derive(Serialize)]
struct Evaluated {
    texts: usize,
    correct: usize,
    accuracy: f64,
    mistakes: Vec<Mistake>,
}

#[derive(Serialize)]
struct Mistake {
    /// The place among the texts.
    text: usize,
    label: String,
    /// What the model said instead.
    language: String,
}

/// Tells the language of each text, and how probable the model holds it.
#[plugin_fn]
pub fn language(input: Vec<u8>) -> FnResult<Json<Languages>> {
    let request = Request::texts(&input, "language").map_err(Error::msg)?;
    let languages = with_network(&request, |network| {
        let said = network.predict(&request.texts)?;
        Ok(said.iter().map(|said| {
            let best = most_likely(&said.probabilities);
            let Label { code, name } = &network.labels[best];
            Language { language: code.clone(), name: name.clone(), probability: rounded(said.probabilities[best].into()) }
        }).collect())
    })?;
    Ok(Json(Languages { languages }))
}

/// Gives a unit vector for each text.
#[plugin_fn]
pub fn embed(input: Vec<u8>) -> FnResult<Json<Embedded>> {
    let request = Request::texts(&input, "embed").map_err(Error::msg)?;
    let said = with_network(&request, |network| network.predict(&request.texts))?;
    let row = |said: &Said| said.embedding.iter().map(|&x| rounded(x.into())).collect();
    Ok(Json(Embedded { embeddings: said.iter().map(row).collect() }))
}

/// Tells the languages of texts whose labels are known, and counts how often the model was right.
#[plugin_fn]
pub fn evaluate(input: Vec<u8>) -> FnResult<Json<Evaluated>> {
    let request = Request::labeled_texts(&input).map_err(Error::msg)?;
    let mistakes = with_network(&request, |network| {
        if let Some(label) = request.labels.iter().find(|label| network.labels.iter().all(|known| known.code != **label)) {
            return Err(format!("The model has no label \"{label}\""));
        }
        let said = network.predict(&request.texts)?;
        let pairs = said.iter().zip(&request.labels).enumerate();
        Ok(pairs.filter_map(|(text, (said, label))| {
            let language = &network.labels[most_likely(&said.probabilities)].code;
            (language != label).then(|| Mistake { text, label: label.clone(), language: language.clone() })
        }).collect::<Vec<_>>())
    })?;
    let texts = request.texts.len();
    let correct = texts - mistakes.len();
    Ok(Json(Evaluated { texts, correct, accuracy: rounded(correct as f64 / texts as f64), mistakes }))
}

/// Runs the model that the request wants.
fn with_network<T>(request: &Request, run: impl Fn(&Network) -> Result<T, String>) -> Result<T, Error> {
    let result = request.model.read().and_then(|model| match model {
        Some(model) => run(&Network::new(model)?),
        None => BUILT_IN.with(|cell| match cell.get_or_init(built_in) {
            Ok(network) => run(network),
            Err(message) => Err(message.clone()),
        }),
    });
    result.map_err(Error::msg)
}

fn built_in() -> Result<Network, String> {
    Model::from_onnx(BUILT_IN_MODEL).and_then(Network::new)
}
