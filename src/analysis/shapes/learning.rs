//! Losses, features of text, and the classical models of `ai.onnx.ml`.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::{Fact, product};
use crate::analysis::shapes::term::Term;
use crate::ir::AttrValue;
use crate::tensor::DType;

/// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: a number, or one for each target; then the
/// logarithms of the probabilities.
pub(super) fn loss(call: &Call<'_>) -> Vec<Fact> {
    let each = call.text("reduction", "mean") == "none";
    let dims = if each { call.shape(1) } else { Some(Vec::new()) };
    vec![Fact::new(call.dtype(0), dims), call.fact(0).without_content()]
}

/// TfIdfVectorizer: one column for each n-gram that an output index names.
pub(super) fn tf_idf(call: &Call<'_>) -> Fact {
    let indices = call.node.attr_ints("ngram_indexes").unwrap_or_default();
    let columns = Term::from(indices.iter().max().and_then(|last| last.checked_add(1)));
    let dims = match call.dims(0) {
        Some([] | [_]) => Some(vec![columns]),
        Some([rows, _]) => Some(vec![rows.clone(), columns]),
        _ => None,
    };
    Fact::new(Some(DType::Float), dims)
}

/// StringSplit: the parts along a new axis, and how many there are.
pub(super) fn string_split(call: &Call<'_>) -> Vec<Fact> {
    let parts = call.shape(0).map(|dims| [dims, vec![Term::Unknown]].concat());
    vec![Fact::new(Some(DType::String), parts), Fact::new(Some(DType::Int64), call.shape(0))]
}

/// StringNormalizer: stop words leave the last axis.
pub(super) fn string_normalizer(call: &Call<'_>) -> Fact {
    let filters = call.node.attr("stopwords").is_some();
    let dims = call.shape(0).map(|mut dims| {
        if let (true, Some(last)) = (filters, dims.last_mut()) {
            *last = Term::Unknown;
        }
        dims
    });
    Fact::new(Some(DType::String), dims)
}

/// ImageDecoder: `[height, width, channels]`.
pub(super) fn image_decoder(call: &Call<'_>) -> Fact {
    let channels = if call.text("pixel_format", "RGB") == "Grayscale" { 1 } else { 3 };
    let dims = vec![Term::Unknown, Term::Unknown, Term::Known(channels)];
    Fact::new(Some(DType::Uint8), Some(dims))
}

/// MelWeightMatrix: `[dft_length / 2 + 1, bins]`.
pub(super) fn mel_weights(call: &Call<'_>) -> Fact {
    let dims = vec![call.element(1).floor_div(2) + 1, call.element(0)];
    Fact::new(Some(call.dtype_attr("output_datatype").unwrap_or(DType::Float)), Some(dims))
}

/// Scaler and Normalizer: extents of the input, `float`.
pub(super) fn scaled(call: &Call<'_>) -> Fact {
    Fact::new(Some(DType::Float), call.shape(0))
}

/// Rows of `[N, C]`; a vector is one row.
fn rows(call: &Call<'_>) -> Term {
    match call.dims(0) {
        Some([_]) => Term::ONE,
        Some([rows, _]) => rows.clone(),
        _ => Term::Unknown,
    }
}

fn length(call: &Call<'_>, name: &str) -> Option<usize> {
    match call.node.attr(name)? {
        AttrValue::Ints(list) => Some(list.len()),
        AttrValue::Strings(list) => Some(list.len()),
        AttrValue::Floats(list) => Some(list.len()),
        _ => None,
    }
}

/// Classifiers: a label for each row, and scores.
pub(super) fn classifier(call: &Call<'_>) -> Vec<Fact> {
    let named = length(call, "classlabels_strings").is_some_and(|count| count > 0);
    let label = if named { DType::String } else { DType::Int64 };
    let scores = vec![rows(call), Term::Unknown];
    vec![
        Fact::new(Some(label), Some(vec![rows(call)])),
        Fact::new(Some(DType::Float), Some(scores)),
    ]
}

/// Regressors: a row of targets for each row. SVMRegressor has one target.
pub(super) fn regressor(call: &Call<'_>) -> Fact {
    let targets = match call.node.op() {
        "SVMRegressor" => 1,
        "LinearRegressor" => call.int("targets", 1),
        _ => call.int("n_targets", 1),
    };
    let dtype = if call.node.op() == "TreeEnsemble" { call.dtype(0) } else { Some(DType::Float) };
    Fact::new(dtype, Some(vec![rows(call), Term::Known(targets)]))
}

/// LabelEncoder and CategoryMapper: extents of the input, another type.
pub(super) fn mapped(call: &Call<'_>) -> Fact {
    let given = |name| call.node.attr(name).is_some();
    let dtype = if given("values_strings") {
        Some(DType::String)
    } else if given("values_int64s") {
        Some(DType::Int64)
    } else if given("values_floats") {
        Some(DType::Float)
    } else if let Some(values) = call.node.attr_tensor("values_tensor") {
        Some(values.dtype())
    } else {
        match call.dtype(0) {
            Some(DType::String) => Some(DType::Int64),
            Some(DType::Int64) => Some(DType::String),
            _ => None,
        }
    };
    Fact::new(dtype, call.shape(0))
}

/// OneHotEncoder: a new last axis of categories.
pub(super) fn one_hot(call: &Call<'_>) -> Fact {
    let count = length(call, "cats_int64s").or_else(|| length(call, "cats_strings"));
    let dims = call.shape(0).map(|dims| [dims, vec![count.into()]].concat());
    Fact::new(Some(DType::Float), dims)
}

/// FeatureVectorizer: rows of all inputs side by side.
pub(super) fn feature_vectorizer(call: &Call<'_>) -> Fact {
    let widths = call.node.attr_ints("inputdimensions").unwrap_or_default();
    let width = widths.iter().fold(Term::Known(0), |total, &width| total + width);
    Fact::new(Some(DType::Float), Some(vec![rows(call), width]))
}

/// ArrayFeatureExtractor: columns of the last axis, one for each index.
pub(super) fn array_features(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).zip(call.dims(1)).and_then(|(x, indices)| {
        let outer = if x.len() == 1 { &[Term::ONE][..] } else { x.split_last()?.1 };
        Some([outer, &[product(indices)]].concat())
    });
    Fact::new(call.dtype(0), dims)
}
