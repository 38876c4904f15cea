//! Criterion over every row: tickbus beside its peers, each checked against the same reference.
//!
//! `cargo bench -p tickbus-benches --bench host` runs all, `… --bench host -- "1 to 1"` what matches. Criterion runs one
//! contender after the other, and its estimate is a mean or a slope, no percentile; `ratios` interleaves them, says
//! which percentile it tells, and is the one to compare by.

mod contenders;

use core::time::Duration;

use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .without_plots()
        .configure_from_args();
    for row in contenders::rows() {
        let mut group = criterion.benchmark_group(row.name);
        group.throughput(Throughput::Elements(row.elements));
        for mut contender in row.contenders {
            group.bench_function(contender.name, |bencher| bencher.iter_custom(&mut contender.run));
        }
        group.finish();
    }
    criterion.final_summary();
}
