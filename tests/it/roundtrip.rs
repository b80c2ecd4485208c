//! Reading and writing lose nothing, and a second, independent codec agrees.

use std::path::Path;

use ::sha1::Digest;
use bytes::Bytes;
use onnxpress::calibrate::Calibration;
use onnxpress::compress;
use onnxpress::compress::QuantizePasses;
use onnxpress::data::Options;
use onnxpress::exec::Tract;
use onnxpress::passes::{Context, Pass, StripDebugMetadata};
use onnxpress::tensor::Tensor;
use onnxpress::{ErrorKind, read};
use protobuf::Message;
use reference::onnx::attribute_proto::AttributeType;
use reference::onnx::tensor_proto::DataLocation;
use reference::onnx::{
    AttributeProto, GraphProto, ModelProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};

use tempfile::tempdir;

use crate::support::{decode, encode, fixture, load, models, samples, shell};

/// The messages as rust-protobuf generates them from the same schema.
#[expect(clippy::unwrap_used, reason = "generated")]
mod reference {
    include!(concat!(env!("OUT_DIR"), "/reference/mod.rs"));
}

const UNSORTED: &str = "graphs/unsorted.onnx";
const EXTERNAL: &str = "graphs/external_data.onnx";

fn original(name: &str) -> Bytes {
    std::fs::read(fixture(name)).expect("a fixture").into()
}

fn parsed(encoded: &[u8]) -> ModelProto {
    ModelProto::parse_from_bytes(encoded).expect("the second codec reads our bytes")
}

/// Models that keep their data inside and their nodes in order.
fn plain() -> Vec<String> {
    models().into_iter().filter(|name| ![UNSORTED, EXTERNAL].contains(&name.as_str())).collect()
}

#[test]
fn every_fixture_comes_back_byte_for_byte() {
    for name in plain() {
        let loaded = read::file(&fixture(&name)).unwrap();
        assert_eq!(loaded.notes, [] as [&str; 0], "{name}");
        assert!(encode(&loaded.model) == original(&name), "{name} changed");
        assert_eq!(loaded.byte_size, original(&name).len() as u64, "{name}");
    }
}

#[test]
fn unsorted_nodes_are_sorted_once_and_noted() {
    let loaded = read::file(&fixture(UNSORTED)).unwrap();
    let note = "graph `unsorted`: nodes arrived out of order and were sorted (6 of 6 moved)";
    assert_eq!(loaded.notes, [note]);
    let sorted = encode(&loaded.model);
    let again = read::bytes(sorted.clone()).unwrap();
    assert_eq!(again.notes, [] as [&str; 0]);
    assert_eq!(encode(&again.model), sorted);
    // The same nodes in another order, and nothing else.
    let (mut before, mut after) = (parsed(&original(UNSORTED)), parsed(&sorted));
    assert_ne!(before, after);
    for model in [&mut before, &mut after] {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes.sort_by(|a, b| a.output.cmp(&b.output));
    }
    assert_eq!(before, after);
}

#[test]
fn external_data_is_brought_inside() {
    let loaded = read::file(&fixture(EXTERNAL)).unwrap();
    let data = std::fs::read(fixture("graphs/external_data.bin")).unwrap();
    assert_eq!(loaded.byte_size, (original(EXTERNAL).len() + data.len()) as u64);
    let encoded = encode(&loaded.model);
    let (mut before, after) = (parsed(&original(EXTERNAL)), parsed(&encoded));
    let mut moved = 0;
    for tensor in &mut before.graph.as_mut().unwrap().initializer {
        moved += usize::from(inline(tensor, &data));
    }
    assert!(moved > 3, "only {moved} tensors lie outside");
    assert_eq!(before, after, "the file with its data inside, and nothing else");
    assert_eq!(encode(&decode(encoded.clone())), encoded);
    let error = read::bytes(original(EXTERNAL)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "without a folder there is no data: {error}");
}

/// Does by hand what the reader does with external data.
fn inline(tensor: &mut TensorProto, data: &[u8]) -> bool {
    if tensor.data_location() != DataLocation::EXTERNAL {
        return false;
    }
    let get = |key: &str| -> usize {
        let entry = tensor.external_data.iter().find(|entry| entry.key() == key);
        entry.expect("offset and length are written").value().parse().expect("a number")
    };
    let (offset, length) = (get("offset"), get("length"));
    tensor.set_raw_data(data[offset..offset + length].to_vec());
    tensor.external_data.clear();
    tensor.clear_data_location();
    true
}

#[test]
fn weights_leave_for_a_file_of_their_own_and_come_back() {
    for name in ["digits_resnet_bn", "digits_transformer_dynamo", "graphs/fp16"] {
        let folder = tempdir().unwrap();
        let ok = |line: &str| {
            let ran = shell(line, folder.path());
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
        };
        ok(&format!("convert fixtures/{name}.onnx --external-data -o TMP/apart.onnx"));
        let apart = read::file(&folder.path().join("apart.onnx")).unwrap();
        let whole = original(&format!("{name}.onnx"));
        assert_eq!(apart.external, name.starts_with("digits"), "{name}: small weights stay");
        ok("convert TMP/apart.onnx --inline-data -o TMP/inline.onnx");
        let inline = std::fs::read(folder.path().join("inline.onnx")).unwrap();
        assert!(inline == whole, "{name} comes back another");
        ok("convert TMP/apart.onnx -o TMP/kept.onnx");
        let kept = read::file(&folder.path().join("kept.onnx")).unwrap();
        assert_eq!(kept.external, apart.external, "{name}: what lies apart stays apart");
        assert!(encode(&kept.model) == encode(&apart.model));
    }
}

/// Keeps the weights of a model apart as `TMP/m.onnx`, each with `checksum`.
fn apart_with_checksum(folder: &Path, checksum: &str) -> Vec<u8> {
    let line = "convert fixtures/digits_resnet_bn.onnx --external-data --force -o TMP/m.onnx";
    let _ = std::fs::remove_file(folder.join("m.onnx.data"));
    assert_eq!(shell(line, folder).code, 0);
    let path = folder.join("m.onnx");
    let mut model = parsed(&std::fs::read(&path).expect("just written"));
    for tensor in &mut model.graph.mut_or_insert_default().initializer {
        if tensor.data_location() == DataLocation::EXTERNAL {
            let mut entry = reference::onnx::StringStringEntryProto::new();
            entry.set_key("checksum".into());
            entry.set_value(checksum.into());
            tensor.external_data.push(entry);
        }
    }
    let encoded = model.write_to_bytes().expect("a message");
    std::fs::write(path, &encoded).expect("a file");
    encoded
}

fn sha1(path: &Path) -> String {
    let digest = ::sha1::Sha1::digest(std::fs::read(path).expect("a file"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn checksums_of_data_files_are_verified_and_renewed() {
    let (folder, other) = (tempdir().unwrap(), tempdir().unwrap());
    let (here, there) = (folder.path(), other.path());
    apart_with_checksum(here, &"0".repeat(40));
    let found = sha1(&here.join("m.onnx.data"));
    let wrong = shell("convert TMP/m.onnx -o TMP/copy.onnx", here);
    assert_eq!(wrong.code, 1);
    let said = format!("`m.onnx.data` has the SHA-1 checksum {found}, expected {}", "0".repeat(40));
    assert!(wrong.err.contains(&said) && wrong.err.contains("tensor `"), "{}", wrong.err);
    for malformed in ["", "0123", &"g".repeat(40), &"0".repeat(64)] {
        apart_with_checksum(here, malformed);
        let ran = shell("inspect TMP/m.onnx", here);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("expected a SHA-1 checksum of 40 hex"), "{}", ran.err);
    }
    // The same layout and the same names: not a byte changes.
    let model = apart_with_checksum(here, &found);
    let from = here.join("m.onnx").display().to_string();
    assert_eq!(shell(&format!("convert {from} -o TMP/m.onnx"), there).code, 0);
    assert!(std::fs::read(there.join("m.onnx")).unwrap() == model, "the model changed");
    assert_eq!(sha1(&there.join("m.onnx.data")), found);
    // Capital digits say the same.
    apart_with_checksum(here, &found.to_uppercase());
    assert_eq!(shell("inspect TMP/m.onnx", here).code, 0);
    // Another data file has another checksum.
    let line = format!("quantize {from} --data random:2 -o TMP/small.onnx -q");
    assert_eq!(shell(&line, there).code, 0);
    let text = std::fs::read(there.join("small.onnx")).unwrap();
    let holds = |text: &[u8], part: &str| text.windows(part.len()).any(|w| w == part.as_bytes());
    assert!(!holds(&text, &found), "a stale checksum");
    if holds(&text, "checksum") {
        assert!(holds(&text, &sha1(&there.join("small.onnx.data"))));
    }
    assert_eq!(shell("convert TMP/m.onnx --inline-data -o TMP/inside.onnx", there).code, 0);
    assert!(!holds(&std::fs::read(there.join("inside.onnx")).unwrap(), "checksum"));
}

#[test]
fn a_second_codec_reads_the_same_message() {
    for name in plain() {
        assert_eq!(parsed(&encode(&load(&name))), parsed(&original(&name)), "{name}");
    }
}

#[test]
fn a_second_codec_understands_what_passes_wrote() {
    let options = QuantizePasses { freeze_initializers: true, ..QuantizePasses::default() };
    let mut quantized = 0;
    for name in plain() {
        let model = load(&name);
        let samples = samples(&model, "random:2", &Options::default());
        let calibration = Calibration { engine: &Tract, samples: &samples, progress: &() };
        let cx =
            Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
        // What tract cannot run is not quantized; other modules look at that.
        let Ok(finished) = compress::quantized(model, &options, &cx, None) else {
            continue;
        };
        let encoded = encode(&finished.model);
        let message = parsed(&encoded);
        assert_eq!(message.compute_size(), encoded.len() as u64, "{name}: something is unknown");
        let theirs = message.write_to_bytes().unwrap();
        let ours = encode(&decode(theirs.into()));
        assert_eq!(parsed(&ours), message, "{name}: another message after a trip through it");
        assert_eq!(decode(encoded.clone()).all_nodes().len(), finished.model.all_nodes().len());
        let nodes = &message.graph.node;
        quantized += usize::from(nodes.iter().any(|node| node.op_type() == "QuantizeLinear"));
    }
    assert!(quantized > 15, "only {quantized} models were quantized");
}

#[test]
fn unknown_fields_are_carried_from_wherever_they_stand() {
    /// A field number that ONNX does not use.
    const UNKNOWN: u32 = 1000;
    let name = "graphs/residual_relu.onnx";
    let places: [fn(&mut ModelProto) -> &mut protobuf::SpecialFields; 6] = [
        |model| &mut model.special_fields,
        |model| &mut model.graph.as_mut().expect("a graph").special_fields,
        |model| &mut model.graph.as_mut().expect("a graph").node[0].special_fields,
        |model| &mut model.graph.as_mut().expect("a graph").initializer[0].special_fields,
        |model| &mut model.graph.as_mut().expect("a graph").input[0].special_fields,
        |model| &mut model.opset_import[0].special_fields,
    ];
    let mut everywhere = parsed(&original(name));
    for (i, place) in places.into_iter().enumerate() {
        let mut message = parsed(&original(name));
        for message in [&mut message, &mut everywhere] {
            place(message).mut_unknown_fields().add_varint(UNKNOWN, 7);
        }
        let encoded = Bytes::from(message.write_to_bytes().unwrap());
        let loaded = read::bytes(encoded.clone()).unwrap();
        assert_eq!(loaded.notes, [] as [&str; 0]);
        assert!(encode(&loaded.model) == encoded, "place {i}");
    }
    // They stay where nothing was edited, whatever is edited elsewhere.
    let mut model = decode(everywhere.write_to_bytes().unwrap().into());
    model.add_initializer(model.main(), "unused", Tensor::from_f32(&[1], &[1.0]));
    let mut edited = parsed(&encode(&model));
    edited.graph.as_mut().unwrap().initializer.pop();
    assert_eq!(edited, everywhere);
}

/// Found by fuzzing: bodies may leave out the types of their inputs, and return inputs as they are.
#[test]
fn an_untyped_input_of_a_body_stays_untyped() {
    let source = r#"<ir_version: 8, opset_import: ["" : 17]>
        main (int64 n, bool go, float[2] x) => (float[2] y) {
            y = Loop (n, go, x) <body = step (i, again, z) => (bool again, float[2] z)
                <int64 i> { unused = Identity (i) }>
        }"#;
    let model = read::text(source).unwrap();
    let (mut encoded, first) = (parsed(&encode(&model)), encode(&model));
    let body = encoded.graph.as_mut().unwrap().node[0].attribute[0].g.as_mut().unwrap();
    assert!(body.input.iter().all(|input| input.type_.is_none()), "{:?}", body.input);
    assert!(body.output.iter().all(|output| output.type_.is_some()));
    assert_eq!(body.value_info.len(), 1);
    assert_eq!(encode(&decode(first.clone())), first);
}

/// Distance between the places at which files are damaged; a prime, so that all kinds of fields
/// are hit.
const STRIDE: usize = 97;

#[test]
fn truncated_files_never_panic() {
    let mut refused = 0;
    for name in models() {
        let whole = original(&name);
        for end in (0..whole.len()).step_by(STRIDE) {
            match read::bytes(whole.slice(..end)) {
                Ok(loaded) => drop(encode(&loaded.model)),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 5000, "only {refused} pieces were refused");
}

/// Whether two encodings, which may order fields differently, are of one message. NaN is not equal
/// to itself, and unknown fields have no order, so equal messages or equal bytes will do. What is
/// malformed inside a field that is only carried may move, but it stays whole.
fn same(a: &[u8], b: &[u8]) -> bool {
    match [a, b].map(ModelProto::parse_from_bytes) {
        [Ok(a), Ok(b)] => a == b || a.write_to_bytes().ok() == b.write_to_bytes().ok(),
        [Err(_), Err(_)] => a.len() == b.len(),
        _ => false,
    }
}

#[test]
fn damaged_files_never_panic_and_what_is_read_is_written() {
    let mut read_anyway = 0;
    for name in models().iter().filter(|name| name.starts_with("graphs/")) {
        let whole = original(name);
        for (i, damage) in
            (0..whole.len()).step_by(STRIDE / 7).zip([0xff, 0x01, 0x80].iter().cycle())
        {
            let mut bytes = whole.to_vec();
            bytes[i] ^= damage;
            let Ok(loaded) = read::bytes(bytes.clone().into()) else {
                continue;
            };
            if !loaded.notes.is_empty() {
                continue;
            }
            read_anyway += 1;
            let again = encode(&loaded.model);
            assert!(again == bytes || same(&again, &bytes), "{name}, byte {i}");
        }
    }
    assert!(read_anyway > 500, "only {read_anyway} damaged models could be read");
}

#[test]
fn an_untouched_weight_is_a_window_of_the_file() {
    let whole = original("digits_mlp.onnx");
    let model = decode(whole.clone());
    let tensors = model.values().filter_map(|(_, value)| value.initializer());
    let inside = |tensor: &onnxpress::tensor::Tensor| {
        whole.as_ptr_range().contains(&tensor.bytes().as_ptr())
    };
    let large: Vec<_> = tensors.filter(|tensor| tensor.byte_size() > 1000).collect();
    assert!(large.len() >= 2 && large.into_iter().all(inside), "weights are not copied");
}

#[test]
fn all_that_a_function_says_survives() {
    let mut model = parsed(&original("graphs/function_call.onnx"));
    let function = &mut model.functions[0];
    function.set_doc_string("what it does".into());
    function.set_overload("v1".into());
    let entry = |key: &str| {
        let mut entry = StringStringEntryProto::new();
        entry.set_key(key.into());
        entry.set_value("text".into());
        entry
    };
    function.metadata_props.push(entry("kept"));
    function.node[0].metadata_props.extend([entry("pkg.torch.trace"), entry("mine")]);
    for (name, number) in [("known", 1), ("body", 5)] {
        let mut default = AttributeProto::new();
        default.set_name(name.into());
        if number == 1 {
            default.set_type(AttributeType::FLOAT);
            default.set_f(0.5);
        } else {
            default.set_type(AttributeType::GRAPH);
            default.g = Some(GraphProto::new()).into();
        }
        function.attribute_proto.push(default);
    }
    for name in ["scaled", "nobody"] {
        let mut declared = ValueInfoProto::new();
        declared.set_name(name.into());
        function.value_info.push(declared);
    }
    for node in &mut model.graph.as_mut().unwrap().node {
        if node.domain() == "local.layers" {
            node.set_overload("v1".into());
        }
    }
    let before = Bytes::from(model.write_to_bytes().unwrap());
    let mut read = decode(before.clone());
    assert_eq!(encode(&read), before);
    let report = StripDebugMetadata.run(&mut read, &Context::default()).unwrap();
    assert!(report.changed());
    model.functions[0].node[0].metadata_props.remove(0);
    assert_eq!(parsed(&encode(&read)), model, "one entry less, and nothing else");
    let mut inlined = read.inline_functions();
    assert_eq!(inlined.done.remove(0).1, "2 calls replaced by its nodes");
}
