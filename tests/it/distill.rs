//! Students learn from teachers.

use std::path::Path;

use onnxpress::distill::{Data, Options, distill};
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::read;
use onnxpress::verbs::{self, DistillOptions};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{
    encode, fixture, load, npy, npy_f32, pixels, root, samples, shell, write_npz,
};

const DATA: &str = "--data fixtures/digits_tune.npz --scale 1/16";

/// A teacher of `fixtures/` cut to a share of its multiply-accumulates, as `TMP/student.onnx`.
fn cut(teacher: &str, share: &str) -> TempDir {
    let folder = tempdir().expect("a folder");
    let line = format!(
        "prune fixtures/{teacher} -o TMP/student.onnx --macs {share} -q \
         --data fixtures/digits_calib.npz --scale 1/16"
    );
    let ran = shell(&line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    folder
}

/// Distils `TMP/student.onnx`; how it ended, and its report.
fn learn(teacher: &str, options: &str, folder: &Path) -> (i32, Value) {
    let line = format!(
        "distill TMP/student.onnx --teacher fixtures/{teacher} -o TMP/out.onnx --force {DATA} --json -q {options}"
    );
    let ran = shell(&line, folder);
    let json = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.err));
    (ran.code, json)
}

fn number(json: &Value, path: &str) -> f64 {
    json.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {json:#}"))
}

/// What a model is made of, without the numbers of its weights.
fn structure(model: &Model) -> Vec<String> {
    let nodes = model.nodes_of(model.main()).map(|(id, node)| {
        let inputs = node.inputs().iter().flatten().map(|&input| {
            let value = model.value(input);
            let tensor = value.initializer().map(|t| (t.dtype(), t.dims().to_vec()));
            format!("{} {tensor:?}", value.name())
        });
        format!("{} {:?}", model.label(id), inputs.collect::<Vec<_>>())
    });
    nodes.collect()
}

#[test]
fn cut_networks_come_nearer_to_their_teachers() {
    for (teacher, share) in [("digits_resnet_bn.onnx", "40%"), ("digits_transformer.onnx", "50%")] {
        let folder = cut(teacher, share);
        let (code, json) = learn(teacher, "--steps 80 --labels y", folder.path());
        assert_eq!(code, 0, "{json:#}");
        let (before, after) = (number(&json, "/before/loss"), number(&json, "/after/loss"));
        assert!(after < 0.8 * before, "{teacher}: {before} became {after}");
        assert!(number(&json, "/agreement_db") >= 40.0);
        assert!(number(&json, "/held_out") > 0.0);
        let open = |name: &str| read::file(&folder.path().join(name)).unwrap().model;
        assert_eq!(structure(&open("student.onnx")), structure(&open("out.onnx")));
    }
}

#[test]
fn bytes_are_the_same_for_any_number_of_threads() {
    let folder = cut("digits_resnet_bn.onnx", "50%");
    let bytes = |options: &str| {
        learn("digits_resnet_bn.onnx", &format!("--steps 60 --loss mse {options}"), folder.path());
        std::fs::read(folder.path().join("out.onnx")).unwrap()
    };
    let first = bytes("--threads 1");
    assert!(first == bytes("--threads 2") && first == bytes("--threads 2"));
    assert!(first != bytes("--threads 2 --seed 5"));
}

#[test]
fn zeros_of_sparse_weights_stay() {
    for storage in ["dense", "sparse"] {
        let folder = tempdir().unwrap();
        let line = format!(
            "prune fixtures/digits_mlp.onnx -o TMP/student.onnx --unstructured magnitude --sparsity 80% -q --storage {storage}"
        );
        assert_eq!(shell(&line, folder.path()).code, 0);
        let (code, _) = learn("digits_mlp.onnx", "--steps 60", folder.path());
        assert_eq!(code, 0);
        let open = |name: &str| {
            let mut model = read::file(&folder.path().join(name)).unwrap().model;
            let stored = model.sparse_initializers_of(model.main()).count();
            model.make_dense().unwrap();
            (model, stored)
        };
        let ((before, stored), (after, again)) = (open("student.onnx"), open("out.onnx"));
        assert!(stored == again && (stored > 0) == (storage == "sparse"));
        let mut zeros = 0;
        for (id, value) in before.values() {
            let Some(tensor) = value.initializer().filter(|t| t.dims().len() == 2) else {
                continue;
            };
            let numbers = tensor.to_f32().unwrap();
            let now = after.value(id).initializer().unwrap().to_f32().unwrap();
            let kept = numbers.iter().zip(&now).all(|(&b, &a)| b != 0.0 || a == 0.0);
            assert!(kept && numbers != now, "{}", value.name());
            zeros += numbers.iter().filter(|&&x| x == 0.0).count();
        }
        assert!(zeros > 1000, "{zeros}");
    }
}

#[test]
fn nothing_better_gives_the_student_back() {
    let folder = tempdir().unwrap();
    std::fs::copy(root().join("fixtures/digits_mlp.onnx"), folder.path().join("student.onnx"))
        .unwrap();
    let (code, json) = learn("digits_mlp.onnx", "--steps 5", folder.path());
    assert_eq!(code, 3);
    assert_eq!(json["improved"], Value::Bool(false));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("student.onnx") == read("out.onnx"));
}

#[test]
fn frozen_nodes_stay() {
    let folder = cut("digits_resnet_bn.onnx", "50%");
    let open = |name: &str| read::file(&folder.path().join(name)).unwrap().model;
    let before = open("student.onnx");
    let convs: Vec<String> = before
        .nodes_of(before.main())
        .filter(|(_, node)| node.is("Conv"))
        .map(|(id, _)| before.name_of(id).to_owned())
        .collect();
    let (code, json) =
        learn("digits_resnet_bn.onnx", &format!("--steps 30 --train {}", convs[1]), folder.path());
    assert!(code == 0 || code == 3);
    let moved = json["moved"].as_array().unwrap();
    assert!(moved.len() <= 2, "{moved:?}");
}

#[test]
fn every_loss_and_every_change_of_samples_trains() {
    let folder = cut("digits_resnet_bn.onnx", "50%");
    for options in [
        "--loss mse,attention",
        "--loss kl,relation=0.5 --labels y",
        "--loss kl,gradient=0.02 --labels y",
        "--augment shift,mixup",
        "--adversarial 0.05",
        "--loss mse,gradient=0.02 --adversarial 0.05 --augment shift",
    ] {
        let (code, json) =
            learn("digits_resnet_bn.onnx", &format!("--steps 120 {options}"), folder.path());
        assert_eq!(code, 0, "{options}: {json:#}");
        let warnings = json["warnings"].as_array().unwrap();
        assert!(warnings.iter().all(|w| !w.as_str().unwrap().contains("nothing")), "{warnings:?}");
        let (before, after) = (number(&json, "/before/loss"), number(&json, "/after/loss"));
        assert!(after < before, "{options}: {before} became {after}");
    }
    let bytes = |threads: usize| {
        let options = "--steps 8 --loss kl,gradient --labels y --adversarial 0.05 --augment mixup";
        learn("digits_resnet_bn.onnx", &format!("{options} --threads {threads}"), folder.path());
        std::fs::read(folder.path().join("out.onnx")).unwrap()
    };
    assert!(bytes(1) == bytes(2));
}

#[test]
fn time_ends_the_training() {
    let folder = cut("digits_resnet_bn.onnx", "50%");
    let student = read::file(&folder.path().join("student.onnx")).expect("a student");
    let teacher = read::file(&fixture("digits_resnet_bn.onnx")).expect("a fixture");
    let samples = onnxpress::samples(&teacher, &fixture("digits_tune.npz"), &pixels());
    let samples = samples.expect("samples of the fixture");
    // All of the steps would take hours. How closely the time is kept is measured by `tests/peers/distill_models.py`.
    let mut options = DistillOptions::default();
    (options.learning.steps, options.learning.minutes) = (Some(1_000_000), Some(0.02));
    let outcome = verbs::distill(&student, &teacher, &options, &verbs::Data::of(&samples));
    let steps = outcome.expect("it learns").report.steps;
    assert!((1..100_000).contains(&steps), "{steps}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = cut("digits_resnet_bn.onnx", "50%");
    let wrong = |options: &str| {
        let line = format!("distill TMP/student.onnx -o TMP/out.onnx -q {options}");
        let ran = shell(&line, folder.path());
        assert!(ran.code == 1 || ran.code == 2, "{options}: {} {}", ran.code, ran.out);
        assert!(!folder.path().join("out.onnx").exists());
        ran.err
    };
    let teacher = "--teacher fixtures/digits_resnet_bn.onnx";
    let fed = |name: &str, pixel: f32, label: i64| {
        let mut pixels: Vec<f32> = (0..640).map(|i| (i * 7 % 16) as f32 / 16.0).collect();
        pixels[70] = pixel;
        let labels: Vec<u8> = (0..10).flat_map(|i| (i % 2 * label).to_le_bytes()).collect();
        let arrays = [("x", npy_f32(&[10, 1, 8, 8], &pixels)), ("y", npy("<i8", &[10], &labels))];
        write_npz(&folder.path().join(name), &arrays);
        format!("--data TMP/{name} --labels y --steps 2")
    };
    let (nan, beyond) = (fed("nan.npz", f32::NAN, 1), fed("beyond.npz", 0.5, 12));
    let below = fed("below.npz", 0.5, -1);
    for (options, message) in [
        (format!("{teacher} {DATA} --loss kl,nothing"), "expected one of kl, ce, mse, feature"),
        (format!("{teacher} {DATA} --loss ce"), "needs labels"),
        (format!("{teacher} {DATA} --loss feature"), "no loss of an output"),
        (format!("{teacher} {DATA} --match a=b"), "the student has no value `a`"),
        (format!("{teacher} {DATA} --train nothing"), "no weight to train"),
        (format!("{teacher} {DATA} --samples 1"), "at least 2"),
        (format!("{teacher} {DATA} --learning-rate 0"), "learning rate"),
        (format!("--teacher fixtures/tokens_embedding.onnx {DATA}"), "the student takes"),
        (format!("{teacher} {nan}"), "NaN"),
        (format!("{teacher} {beyond}"), "label 12 of sample 1 is not one of 10 classes"),
        (format!("{teacher} {below}"), "label -1 of sample 1 is not one of 10 classes"),
        (format!("{teacher} {DATA} --augment turn"), "expected one of flip, shift, mixup"),
        (format!("{teacher} {DATA} --adversarial 0"), "adversarial 0; expected more than 0"),
        (format!("{teacher} {DATA} --batch 0"), "at least 1"),
        (format!("{teacher} {DATA} --match input=nothing"), "has no value"),
        (format!("{teacher} {DATA} --minutes 0"), "minutes"),
    ] {
        let error = wrong(&options);
        assert!(error.contains(message), "{options}: {error}");
    }
}

#[test]
fn the_library_does_it_in_one_call() {
    let teacher = load("digits_resnet_bn.onnx");
    let folder = cut("digits_resnet_bn.onnx", "50%");
    let student = read::file(&folder.path().join("student.onnx")).unwrap().model;
    let data = samples(&student, root().join("fixtures/digits_tune.npz"), &pixels());
    let options = Options { steps: Some(20), batch: 10_000, ..Options::default() };
    let data = Data { engine: &Tract, samples: &data, progress: &() };
    let found = distill(&student, &teacher, &options, &data).unwrap();
    assert!(found.batch <= found.train && found.train + found.held_out <= data.samples.len());
    assert!(found.steps == 20 && !encode(&found.model).is_empty());
}
