#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxpress_fuzz::bodies;

fuzz_target!(|data: &[u8]| {
    bodies::text::check(data);
});
