//! Generates the ONNX message types from `proto/onnx.proto` without `protoc`.
//!
//! protobuf-codegen's pure-Rust front end parses and type-checks the schema. It writes the
//! rust-protobuf types that the tests use as an independent second codec, and its callback hands
//! the very same descriptor to prost-build, which writes the types the product uses.

use std::error::Error;
use std::sync::{Arc, Mutex};

use prost::Message as _;
use protobuf::Message as _;
use protobuf::reflect::FileDescriptor;
use protobuf_codegen::{Codegen, Customize, CustomizeCallback};

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Vec<u8>>>>);

impl CustomizeCallback for Capture {
    fn file(&self, file: &FileDescriptor) -> Customize {
        let encoded = file.proto().write_to_bytes().expect("a parsed descriptor can be encoded");
        self.0.lock().expect("no other thread panics").push(encoded);
        Customize::default()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/onnx.proto");
    println!("cargo:rerun-if-changed=build.rs");
    let capture = Capture::default();
    Codegen::new()
        .pure()
        .include("proto")
        .input("proto/onnx.proto")
        .customize_callback(capture.clone())
        .cargo_out_dir("reference")
        .run()?;
    let file = capture
        .0
        .lock()
        .expect("no other thread panics")
        .iter()
        .map(|encoded| prost_types::FileDescriptorProto::decode(&encoded[..]))
        .collect::<Result<Vec<_>, _>>()?;
    prost_build::Config::new()
        .bytes([".onnx.TensorProto.raw_data"])
        .compile_fds(prost_types::FileDescriptorSet { file })?;
    Ok(())
}
