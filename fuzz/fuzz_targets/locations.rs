#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxpress_fuzz::bodies::locations::Place;

thread_local! {
    static PLACE: Place = Place::default();
}

fuzz_target!(|data: &[u8]| {
    PLACE.with(|place| place.check(data));
});
