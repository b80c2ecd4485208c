//! What a model may cost: budgets are kept, as near as the multiples allow, however they are spread.

use onnxpress::analysis::{Assume, Cost, Shapes};
use onnxpress::compress;
use onnxpress::ir::Model;
use onnxpress::passes::{
    Allocation, Amount, Budget, Context, Criterion, Importance, Pass, PruneChannels, PruneWeights,
    Resource, Scope, Zeros,
};
use onnxpress::pipeline;

use super::model;
use crate::support::{encode, load, models};

fn cost(model: &Model) -> Cost {
    Cost::of(model, &Shapes::infer(model, &Assume::one_sample()))
}

fn prepared(name: &str) -> Model {
    let passes = compress::prepare_prune(&compress::PrunePasses::default());
    let settled =
        pipeline::settle(load(name), &passes, &Context::default(), None, pipeline::When::AtEnd);
    settled.unwrap_or_else(|error| panic!("{name}: {error}")).model
}

fn half(resource: Resource, allocation: Allocation) -> PruneChannels {
    let budget = Some(Budget { resource, most: Amount::Share(0.6) });
    PruneChannels { budget, allocation, ..PruneChannels::default() }
}

#[test]
fn budgets_of_all_fixtures_are_kept_or_said_to_be_missed() {
    let mut kept = 0;
    for name in models() {
        let whole = prepared(&name);
        for resource in [Resource::Macs, Resource::Parameters, Resource::WeightBytes] {
            for allocation in [Allocation::Uniform, Allocation::Global] {
                let mut cut = whole.clone();
                let pass = half(resource, allocation);
                let report = pass.run(&mut cut, &Context::default()).unwrap();
                let (before, after) = (
                    resource.of(&whole, &Assume::one_sample()).unwrap(),
                    resource.of(&cut, &Assume::one_sample()).unwrap(),
                );
                let reached = after as f64 <= 0.6 * before as f64;
                assert_eq!(reached, report.warnings.is_empty(), "{name}: {before} -> {after}");
                kept += usize::from(reached && before > 0);
                // What is written can be read.
                crate::support::decode(encode(&cut));
            }
        }
    }
    assert!(kept > 12, "only {kept} budgets were kept");
}

#[test]
fn single_channels_come_close_to_a_budget() {
    let whole = prepared("digits_resnet_bn.onnx");
    for (resource, allocation) in
        [(Resource::Macs, Allocation::Global), (Resource::Parameters, Allocation::Uniform)]
    {
        let mut cut = whole.clone();
        half(resource, allocation).run(&mut cut, &Context::default()).unwrap();
        let share = resource.of(&cut, &Assume::one_sample()).unwrap() as f64
            / resource.of(&whole, &Assume::one_sample()).unwrap() as f64;
        assert!((0.5..=0.6).contains(&share), "{resource:?}: {share}");
    }
}

/// Three layers in a row; the second one is wide.
fn chain() -> Model {
    model(
        17,
        "(float[N,16] x) => (float[N,4] y)",
        &[("a", &[16, 32]), ("b", &[32, 64]), ("c", &[64, 4])],
        "h = MatMul (x, a)\n r = Relu (h)\n i = MatMul (r, b)\n s = Relu (i)\n y = MatMul (s, c)",
    )
}

#[test]
fn what_a_cut_saves_is_what_the_cut_model_saves() {
    let whole = chain();
    for counts in [vec![32, 64], vec![20, 64], vec![20, 33], vec![4, 8]] {
        let mut cut = whole.clone();
        let allocation = Allocation::Counts(counts.clone());
        let pass = PruneChannels { allocation, ..PruneChannels::default() };
        pass.run(&mut cut, &Context::default()).unwrap();
        let (n, m) = (counts[0] as u64, counts[1] as u64);
        assert_eq!(cost(&cut).macs, 16 * n + n * m + m * 4, "{counts:?}");
        // A budget of exactly that is met by no fewer channels than it takes.
        let most = Amount::Number(cost(&cut).macs);
        let budget = Budget { resource: Resource::Macs, most };
        let fitted = PruneChannels { allocation: Allocation::Global, ..PruneChannels::default() }
            .fit(&whole, budget, None)
            .unwrap();
        assert!(fitted.is_reached() && fitted.left > fitted.most * 9 / 10, "{fitted:?}");
    }
}

#[test]
fn a_loss_decides_which_groups_give() {
    let budget = Budget { resource: Resource::Channels, most: Amount::Share(0.75) };
    let pass = PruneChannels { floor: 0.25, ..PruneChannels::default() };
    // The first group costs much, the second nothing.
    let loss = |group: usize, left: usize| if group == 0 { 100.0 - left as f64 } else { 0.0 };
    let fitted = pass.fit(&chain(), budget, Some(&loss)).unwrap();
    assert_eq!((fitted.counts, fitted.left), (vec![32, 40], 72));
    // Down to its floor, and then the other one.
    let budget = Budget { most: Amount::Share(0.45), ..budget };
    let fitted = pass.fit(&chain(), budget, Some(&loss)).unwrap();
    assert_eq!((fitted.counts, fitted.left), (vec![27, 16], 43));
    // No further than all floors.
    let budget = Budget { most: Amount::Number(1), ..budget };
    let fitted = pass.fit(&chain(), budget, Some(&loss)).unwrap();
    assert_eq!((fitted.counts.clone(), fitted.is_reached()), (vec![8, 16], false));
}

#[test]
fn every_importance_prunes_every_fixture_or_says_why_not() {
    for name in ["digits_resnet_bn.onnx", "digits_transformer.onnx"] {
        let whole = prepared(name);
        for &importance in Importance::ALL {
            let pass = PruneChannels { ratio: 0.5, importance, ..PruneChannels::default() };
            let mut cut = whole.clone();
            let report = pass.run(&mut cut, &Context::default()).unwrap();
            if importance == Importance::BnScale {
                // They are folded into the weights.
                let reason = "no BatchNormalization scales it";
                assert!(!report.changed(), "{name}");
                assert!(report.refused.iter().all(|note| note.text == reason), "{name}");
            } else {
                assert!(cost(&cut).macs < cost(&whole).macs, "{name}, {importance:?}");
            }
        }
    }
}

#[test]
fn weights_become_zero_in_the_share_that_was_asked_for() {
    let whole = prepared("digits_mlp.onnx");
    let zeros = |model: &Model| -> Vec<f64> {
        let weights = model.values().filter_map(|(_, value)| value.initializer());
        let weights = weights.filter(|tensor| tensor.dims().len() == 2);
        let share = |tensor: &onnxpress::tensor::Tensor| {
            let all = tensor.to_f32().unwrap();
            all.iter().filter(|&&x| x == 0.0).count() as f64 / all.len() as f64
        };
        weights.map(share).collect()
    };
    let run = |pass: &PruneWeights| {
        let mut pruned = whole.clone();
        pass.run(&mut pruned, &Context::default()).unwrap();
        crate::support::decode(encode(&pruned))
    };
    let layer = PruneWeights { zeros: Zeros::Share(0.7), ..PruneWeights::default() };
    assert!(zeros(&run(&layer)).iter().all(|share| (share - 0.7).abs() < 0.01));
    let global = zeros(&run(&PruneWeights { scope: Scope::Global, ..layer.clone() }));
    assert!(global.iter().any(|share| (share - 0.7).abs() > 0.01), "{global:?}");
    let blocks = PruneWeights { zeros: Zeros::Blocks { kept: 1, of: 4 }, ..layer.clone() };
    assert_eq!(zeros(&run(&blocks)), [0.75; 3]);
    // Without samples nothing is known of what layers read.
    let mut same = whole.clone();
    let wanda = PruneWeights { criterion: Criterion::Wanda, ..layer.clone() };
    let report = wanda.run(&mut same, &Context::default()).unwrap();
    assert!(!report.changed() && report.refused.iter().all(|n| n.text == "wanda needs samples"));
    let global = PruneWeights { scope: Scope::Global, ..wanda };
    assert!(global.run(&mut same, &Context::default()).is_err());
}
