//! Any bytes as a model file.

use bytes::Bytes;
use onnxpress::proto::ModelProto;
use onnxpress::read;
use prost::Message;

use super::model;

/// What the reader accepts (then the answer is true) can be written, read again, printed, analysed
/// and edited.
pub fn check(data: &[u8]) -> bool {
    let Ok(loaded) = read::bytes(Bytes::copy_from_slice(data)) else { return false };
    let encoded = model::round_trip(&loaded.model);
    if !loaded.notes.iter().any(|note| model::is_sorting(note)) {
        same_message(data, &encoded);
    }
    model::nothing_is_lost(&loaded.model);
    model::text_round_trip(&loaded.model);
    model::analyses(&loaded.model);
    model::passes(&loaded.model);
    true
}

/// A second codec sees one message in both. When its own form of the message is the input itself
/// (known fields in the usual order and encoding), then so is ours.
fn same_message(data: &[u8], ours: &[u8]) {
    // What is malformed inside a field that is only carried stays malformed.
    let Ok(theirs) = ModelProto::decode(data) else { return };
    let usual = theirs.encode_to_vec();
    if usual == data {
        assert!(ours == data, "a usual encoding is not written as it was read");
    }
    let again = ModelProto::decode(ours).expect("a second codec reads our bytes");
    // Not `==` on messages: a NaN is not equal to itself.
    assert!(again.encode_to_vec() == usual, "another message was written");
}
