//! `cargo bench --bench allocations`: how often and how much is allocated for one event.

mod objects;

use allocation_counter::measure;
use gitops_reverser::sanitize::{Document, fingerprint, manifest, noise};

fn main() {
    println!("{:<32} {:<22} {:>12} {:>10} {:>12} {:>12}", "", "", "JSON bytes", "count", "bytes", "peak bytes");
    for sample in objects::samples() {
        let report = |step: &str, work: &mut dyn FnMut()| {
            let counted = measure(work);
            let (count, total, peak) = (counted.count_total, counted.bytes_total, counted.bytes_max);
            println!("{:<32} {step:<22} {:>12} {count:>10} {total:>12} {peak:>12}", sample.name, sample.json.len());
        };
        report("parse", &mut || drop(Document::parse(&sample.json)));
        report("parse, sanitize, emit", &mut || {
            drop(Document::parse(&sample.json).and_then(|mut document| manifest(&mut document, &sample.kind)));
        });
        let Ok(document) = Document::parse(&sample.json) else { continue };
        report("noise", &mut || {
            std::hint::black_box(noise(&document, &sample.kind));
        });
        report("content hash", &mut || {
            std::hint::black_box(fingerprint(&document));
        });
    }
}
