//! Any `external_data` entries in a model beside which there is something to steal.

use std::fs;
use std::path::{Path, PathBuf};

use onnxpress::emit;
use onnxpress::ir::{AttrValue, Model};
use onnxpress::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};
use onnxpress::read;
use onnxpress::tensor::{DType, Tensor};
use prost::Message;
use tempfile::TempDir;

use super::draw::Choices;
use super::model;

/// Every byte of the files that the model may read is below this one, every byte of the others is
/// this one.
const CANARY: u8 = 0xee;
/// Bytes of each data file.
const SIZE: usize = 96;

/// A folder to read from, with links that lead out of it.
///
/// ```text
/// outside.bin                  the canary
/// models/model.onnx            written anew for each case
/// models/data.bin
/// models/sub/data.bin
/// models/empty.bin
/// models/link -> sub/data.bin  stays inside
/// models/leak -> ../outside.bin, models/up -> .., models/hard = ../outside.bin
/// ```
pub struct Place {
    folder: TempDir,
}

impl Default for Place {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let place = Self { folder };
        let write = |path: &str, content: &[u8]| {
            fs::write(place.path(path), content).expect("room on the disk");
        };
        fs::create_dir_all(place.path("models/sub")).expect("a new folder");
        let inside: Vec<u8> = (0..SIZE as u8).collect();
        write("outside.bin", &[CANARY; SIZE]);
        write("models/data.bin", &inside);
        write("models/sub/data.bin", &inside);
        write("models/empty.bin", &[]);
        fs::hard_link(place.path("outside.bin"), place.path("models/hard")).expect("a link");
        #[cfg(unix)]
        for (link, target) in [("link", "sub/data.bin"), ("leak", "../outside.bin"), ("up", "..")] {
            let link = place.path("models").join(link);
            std::os::unix::fs::symlink(target, link).expect("a link");
        }
        place
    }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whatever the entries say, only the files in the folder are read, and only as they say. True
    /// when something was read.
    pub fn check(&self, data: &[u8]) -> bool {
        let mut choices = Choices::new(data);
        let count = 1 + choices.below(4).saturating_sub(2);
        let tensors: Vec<TensorProto> =
            (0..count).map(|i| tensor(&mut choices, self.folder.path(), i)).collect();
        let path = self.path("models/model.onnx");
        fs::write(&path, encoded(&tensors)).expect("room on the disk");
        let Ok(loaded) = read::file(&path) else { return false };
        let read = all_tensors(&loaded.model);
        assert_eq!(read.len(), tensors.len());
        for (tensor, message) in read.iter().zip(&tensors) {
            let bytes = tensor.bytes();
            assert!(!bytes.contains(&CANARY), "read outside: {:?}", message.external_data);
            let start = entry(message, "offset").map_or(0, |text| text.parse().expect("digits"));
            let location = entry(message, "location").unwrap_or_default();
            // The model itself is a file of the folder, too.
            let file = fs::read(self.path("models").join(location)).expect("it was just read");
            let expected = &file[start..start + bytes.len()];
            assert_eq!(bytes[..], *expected, "{:?}", message.external_data);
        }
        model::round_trip(&loaded.model);
        self.moved(&loaded.model);
        let outside = fs::read(self.path("outside.bin")).expect("it is still there");
        assert_eq!(outside, [CANARY; SIZE]);
        true
    }

    /// What is written to a data file is named by us, never by the model.
    fn moved(&self, model: &Model) {
        let apart = emit::with_external_data(model::verified(model), "moved.bin");
        let apart = apart.expect("a plain name");
        assert!(apart.data.is_none_or(|(name, _)| name == "moved.bin"));
    }
}

/// The first entry of a key.
fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    let found = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
    found.and_then(|entry| entry.value.as_deref())
}

fn tensor(choices: &mut Choices<'_>, folder: &Path, index: usize) -> TensorProto {
    const DIMS: [&[i64]; 10] =
        [&[16], &[4], &[0], &[], &[24], &[25], &[2, 2], &[-1], &[i64::MAX], &[1 << 32, 1 << 32]];
    let dtype = *choices.one_of(&[DType::Float, DType::Int8, DType::Int4, DType::String]);
    let dims = choices.one_of(&DIMS).to_vec();
    let count = dims.iter().try_fold(1i64, |count, &dim| count.checked_mul(dim));
    let length = count.and_then(|count| dtype.byte_len(usize::try_from(count).ok()?));
    let keys = ["location", "offset", "length", "checksum", "basepath", "__class__", ""];
    let mut external_data = Vec::new();
    // Mostly the usual entries, so that most cases get as far as the file.
    let usual =
        [("location", true), ("offset", !choices.chance(3)), ("length", !choices.chance(3))];
    for (key, _) in usual.into_iter().filter(|(_, given)| *given) {
        let fits = length.filter(|_| key == "length" && !choices.chance(4));
        let text = fits.map(|length| length.to_string());
        external_data.push(pair(key, text.unwrap_or_else(|| value(choices, folder, key))));
    }
    for _ in 0..choices.below(6).saturating_sub(3) {
        let key = *choices.one_of(&keys);
        let at = choices.below(external_data.len() + 1);
        external_data.insert(at, pair(key, value(choices, folder, key)));
    }
    TensorProto {
        name: Some(format!("w{index}")),
        data_type: Some(dtype.to_onnx()),
        dims,
        data_location: Some(1),
        external_data,
        ..TensorProto::default()
    }
}

fn pair(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) }
}

fn value(choices: &mut Choices<'_>, folder: &Path, key: &str) -> String {
    match key {
        "location" => location(choices, folder),
        "offset" | "length" => number(choices),
        _ if choices.chance(2) => number(choices),
        _ => location(choices, folder),
    }
}

fn location(choices: &mut Choices<'_>, folder: &Path) -> String {
    let absolute = folder.join("outside.bin").display().to_string();
    let whole = [
        "data.bin",
        "sub/data.bin",
        "./data.bin",
        "link",
        "leak",
        "hard",
        "up/outside.bin",
        "../outside.bin",
        "sub/../../outside.bin",
        "../models/data.bin",
        "empty.bin",
        "sub",
        "",
        "data.bin\0",
        "model.onnx",
        "sub//data.bin",
        "*/_ORT_MEM_ADDR_/*",
        "file:data.bin",
    ];
    let parts =
        ["..", ".", "sub", "data.bin", "up", "/", "\\", "leak", "hard", "outside.bin", "\0"];
    match choices.below(10) {
        0..3 => "data.bin".to_owned(),
        3 | 5..7 => (*choices.one_of(&whole)).to_owned(),
        4 => absolute,
        7 => choices.text(12),
        _ => {
            let count = 1 + choices.below(5);
            let parts: Vec<&str> = (0..count).map(|_| *choices.one_of(&parts)).collect();
            parts.join(if choices.chance(4) { "\\" } else { "/" })
        }
    }
}

fn number(choices: &mut Choices<'_>) -> String {
    const ODD: [&str; 14] = [
        "-1",
        "+1",
        " 1",
        "1 ",
        "",
        "0x10",
        "1e3",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "99999999999999999999999",
        "007",
        "٣",
        "1\0",
    ];
    match choices.below(6) {
        0 => (*choices.one_of(&ODD)).to_owned(),
        1 => choices.below(2 * SIZE).to_string(),
        _ => (*choices.one_of(&["0", "16", "8", "4", "32", "80", "95", "96", "97"])).to_owned(),
    }
}

/// A model with the tensors as initializers, the last one in a Constant node.
fn encoded(tensors: &[TensorProto]) -> Vec<u8> {
    let (last, initializers) = tensors.split_last().expect("at least one tensor");
    let value = AttributeProto {
        name: Some("value".to_owned()),
        r#type: Some(4),
        t: Some(last.clone()),
        ..AttributeProto::default()
    };
    let node = NodeProto {
        op_type: Some("Constant".to_owned()),
        output: vec!["y".to_owned()],
        attribute: vec![value],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("g".to_owned()),
        node: vec![node],
        initializer: initializers.to_vec(),
        output: vec![ValueInfoProto { name: Some("y".to_owned()), ..Default::default() }],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(17) };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

fn all_tensors(model: &Model) -> Vec<Tensor> {
    let initializers = model.values().filter_map(|(_, value)| value.initializer().cloned());
    let constants =
        model.all_nodes().into_iter().filter_map(|node| match model.node(node).attr("value") {
            Some(AttrValue::Tensor(stored)) => Some(stored.tensor.clone()),
            _ => None,
        });
    initializers.chain(constants).collect()
}
