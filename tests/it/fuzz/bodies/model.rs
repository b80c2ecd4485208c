//! What holds for every model that the reader accepted, however odd.

use bytes::Bytes;
use onnxpress::analysis::diff::DiffOptions;
use onnxpress::analysis::{Asked, Assume, Cost, Diff, Measure, Range, Shapes};
use onnxpress::emit::{Elements, TextOptions, text_with};
use onnxpress::ir::{Model, Verified};
use onnxpress::passes::{Context, PASSES, Pass};
use onnxpress::tensor::DType;
use onnxpress::{ErrorKind, Result, emit, pipeline, read};

/// The gate is open for what was read and for what a pass left.
pub fn verified(model: &Model) -> Verified<'_> {
    model.verify().unwrap_or_else(|violations| panic!("{violations:#?}"))
}

/// Verifies and encodes.
pub fn encode(model: &Model) -> Bytes {
    emit::onnx(verified(model)).expect("a verified model can be encoded").to_bytes()
}

/// What is written is read, and written again as the same bytes.
pub fn round_trip(model: &Model) -> Bytes {
    let encoded = encode(model);
    let again = decode(encoded.clone());
    assert!(encode(&again) == encoded, "the second trip gives other bytes");
    encoded
}

/// Reads what we wrote.
fn decode(encoded: Bytes) -> Model {
    let loaded = match read::bytes(encoded) {
        Ok(loaded) => loaded,
        Err(error) => panic!("what was written is refused: {error}"),
    };
    let sorted = loaded.notes.iter().find(|note| is_sorting(note));
    assert_eq!(sorted, None, "nodes are written in order");
    loaded.model
}

/// A model that was read is the same after a trip. (Passes also know what they do not write, such
/// as the types of values that they made.)
pub fn nothing_is_lost(model: &Model) {
    let again = decode(encode(model));
    let diff = Diff::between_with(model, &again, DiffOptions { metadata: true });
    assert!(diff.is_empty(), "another model was written:\n{diff}");
}

/// Whether a note of the reader says that it put nodes in order.
pub fn is_sorting(note: &str) -> bool {
    note.contains("out of order")
}

/// The text with all elements.
pub fn full_text(model: &Model) -> String {
    text_with(verified(model), TextOptions { elements: Elements::All })
}

/// What the text shows is read back. A text that leaves something out says so in a comment.
pub fn text_round_trip(model: &Model) {
    let _ = emit::text(verified(model));
    let printed = full_text(model);
    if printed.contains("is not shown") {
        return;
    }
    let again = match read::text(&printed) {
        Ok(model) => model,
        Err(error) => panic!("the text cannot be read: {error}\n{printed}"),
    };
    let second = full_text(&again);
    assert!(second == printed, "another text:\n{printed}\n---\n{second}");
}

/// Analyses answer or decline.
pub fn analyses(model: &Model) {
    for assume in [Assume::default(), Assume::one_sample()] {
        let shapes = Shapes::infer(model, &assume);
        let cost = Cost::of(model, &shapes);
        assert!(cost.layers.len() <= model.all_nodes().len());
    }
    let _ = model.warnings();
}

/// Every pass leaves a valid model with the same interface, and nothing to do for a second run.
/// Nothing is executed: ranges are made up, constants stay.
pub fn passes(model: &Model) {
    let cx = Context { evaluate: None, measure: Some(&MadeUp), ..Context::default() };
    for entry in PASSES {
        let pass = (entry.make)();
        if let Some(edited) = alone(model, pass, &cx) {
            let encoded = round_trip(&edited);
            if let Some(again) = alone(&edited, (entry.make)(), &cx) {
                let name = (entry.make)().name();
                panic!("{name}: the second run edits again: {}", again.all_nodes().len());
            }
            assert!(encode(&edited) == encoded);
        }
    }
}

/// The model after one pass when that edits it. Requests that cannot be met are errors of the
/// caller; an invalid model is one of ours.
fn alone(model: &Model, pass: Box<dyn Pass>, cx: &Context<'_>) -> Option<Model> {
    let name = pass.name();
    match pipeline::run(model.clone(), &[pass], cx, None) {
        Ok(finished) if finished.steps[0].report.changed() => Some(finished.model),
        Ok(finished) => {
            assert!(encode(&finished.model) == encode(model), "{name} edits in silence");
            None
        }
        Err(error) => {
            assert_ne!(error.kind, ErrorKind::Invalid, "{name}: {error}");
            None
        }
    }
}

/// Ranges that depend on nothing but the name of the value; as in calibration, only `float` values
/// of the main graph have one.
struct MadeUp;

impl Measure for MadeUp {
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        /// Largest bound that is made up.
        const LARGEST: usize = 17;
        let shapes = Shapes::infer(model, &Assume::default());
        let range = |&Asked { value, .. }: &Asked| {
            if shapes.dtype(value) != Some(DType::Float)
                || model.value(value).graph() != model.main()
            {
                return None;
            }
            let name = model.value(value).name();
            let sum = name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + byte as usize);
            let (low, high) = (sum % LARGEST, sum / LARGEST % LARGEST);
            // Some values cannot be observed.
            (low + high > 0).then_some(Range { min: -(low as f32), max: high as f32 })
        };
        Ok(asked.iter().map(range).collect())
    }
}
