//! `cargo bench --bench sanitize`: what one event costs between its JSON and the decision that a file changes, in ns.

mod objects;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gitops_reverser::sanitize::{Document, fingerprint, manifest, noise, same_object};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn objects(criterion: &mut Criterion) {
    for sample in objects::samples() {
        let Ok(document) = Document::parse(&sample.json) else { continue };
        let Ok(written) = manifest(&mut document.clone(), &sample.kind) else { continue };
        println!("{}: {} bytes of JSON, {} of YAML", sample.name, sample.json.len(), written.len());

        let mut group = criterion.benchmark_group(sample.name);
        group.throughput(Throughput::Bytes(sample.json.len() as u64));
        group.bench_function("parse", |bencher| bencher.iter(|| Document::parse(black_box(&sample.json))));
        group.bench_function("parse, sanitize, emit, oid", |bencher| {
            bencher.iter(|| {
                let mut document = Document::parse(black_box(&sample.json)).ok()?;
                manifest(&mut document, &sample.kind).ok().map(|manifest| manifest.oid())
            });
        });
        group.bench_function("noise", |bencher| bencher.iter(|| noise(black_box(&document), &sample.kind)));
        group.bench_function("content hash", |bencher| bencher.iter(|| fingerprint(black_box(&document))));
        let file = [b"# by hand\n", written.bytes()].concat();
        group.bench_function("same object", |bencher| bencher.iter(|| same_object(black_box(&file), &written)));
        group.finish();
    }
}

criterion_group!(benches, objects);
criterion_main!(benches);
