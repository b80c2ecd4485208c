//! Models as programs: they compute what the engine computes.

use std::collections::BTreeMap;

use onnxpress::data::Options;
use onnxpress::grad::{Given, Lowered, Request, lower};
use onnxpress::ir::{Model, ValueId};
use onnxpress::tensor::Tensor;

use crate::support::{inputs, load, models, run, samples};

/// Outputs of the program that `model` becomes, or why it becomes none; `None` for outputs without a kernel.
fn computed(model: &Model, fed: &[(String, Tensor)]) -> Result<Vec<Option<Vec<f32>>>, String> {
    let graph = model.graph(model.main());
    let wanted: Vec<ValueId> = graph.outputs().iter().map(|output| output.value).collect();
    let dims: BTreeMap<_, _> = fed.iter().map(|(n, t)| (n.clone(), t.dims().to_vec())).collect();
    let request = Request { inputs: dims, wanted: &wanted, train: &|_| false, inputs_too: false };
    let lowered: Lowered<f32> = lower(model, &request).map_err(|error| error.to_string())?;
    let numbers: Vec<Vec<f32>> = lowered
        .inputs
        .iter()
        .map(|name| {
            let given = fed.iter().find(|(n, _)| n == name).expect("it is fed");
            given.1.to_f32().expect("numbers")
        })
        .collect();
    let inputs: Vec<&[f32]> = numbers.iter().map(Vec::as_slice).collect();
    let given = Given { parameters: &[], inputs: &inputs };
    let mut work = lowered.program.workspace();
    lowered.program.forward(&mut work, given);
    let mut place = 0;
    let each = lowered.wanted.iter().map(|wanted| {
        wanted.as_ref().ok().map(|_| {
            place += 1;
            lowered.program.wanted(&work, given, place - 1).to_vec()
        })
    });
    Ok(each.collect())
}

#[test]
fn programs_compute_what_the_engine_computes() {
    let mut compared = Vec::new();
    for name in models() {
        let model = load(&name);
        if inputs(&model).is_err() || inputs(&model).is_ok_and(|inputs| inputs.is_empty()) {
            continue;
        }
        let options = Options { batch: 2, ..Options::default() };
        let fed = samples(&model, "random:2", &options).run(0).unwrap().inputs;
        let Ok(outputs) = run(&model, &fed) else { continue };
        let Ok(found) = computed(&model, &fed) else { continue };
        for ((output, expected), found) in outputs.iter().zip(found) {
            let Some(found) = found else { continue };
            let Ok(expected) = expected.to_f32() else { continue };
            assert_eq!(expected.len(), found.len(), "{name}: {output}");
            let scale = expected.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
            // Engines compute half floats in half floats.
            let most = if name.contains("fp16") { 5e-3 } else { 1e-5 };
            for (e, f) in expected.iter().zip(&found) {
                assert!((e - f).abs() <= most * scale, "{name}: {output}: {f} is not {e}");
            }
            compared.push(name.clone());
        }
    }
    compared.dedup();
    assert!(compared.len() > 15, "only {compared:?} were compared");
    for name in ["digits_resnet_bn", "digits_transformer", "digits_mlp", "tokens_embedding"] {
        let there = compared.iter().any(|found| found.starts_with(name));
        assert!(there, "{name} is not among {compared:?}");
    }
}
