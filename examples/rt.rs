fn main() {
    for p in std::env::args().skip(1) {
        let path = std::path::Path::new(&p);
        match onnxpress::read::file(path, Default::default()) {
            Err(e) => println!("ERR {e}"),
            Ok(l) => {
                let out = onnxpress::emit::onnx(l.model.verify().unwrap()).unwrap();
                let same = out[..] == std::fs::read(path).unwrap()[..];
                println!("{} {p} {:?}", if same { "same" } else { "DIFF" }, l.notes);
            }
        }
    }
}
