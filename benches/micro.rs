//! What one tick costs in its parts: the split by CPU time, a whole tick over a fixture, the encoding of /metrics.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use wattprint::attribution::apportion::apportion;
use wattprint::attribution::cpu::CpuWeights;
use wattprint::carbon::factors::{FactorSettings, resolve};
use wattprint::carbon::grid::GridBoard;
use wattprint::carbon::market::Market;
use wattprint::carbon::pricing::Pricer;
use wattprint::config::Settings;
use wattprint::meters::Tick;
use wattprint::sampler::{Clock, Sampler};
use wattprint::units::{CpuTime, Microjoules};
use wattprint::web::metrics::{OwnProcess, encode};
use wattprint::workloads::UsageNode;
use wattprint::workloads::owners::OwnerId;

const SIZES: [usize; 3] = [50, 500, 5_000];

fn attribution(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attribution");
    for containers in SIZES {
        let nodes: Vec<UsageNode> = (0..=containers).map(|at| usage_node(at, containers)).collect();
        group.bench_with_input(BenchmarkId::new("weigh and split", containers), &nodes, |bench, nodes| {
            let mut weights = CpuWeights::default();
            bench.iter(|| {
                let weights = weights.weigh(black_box(nodes), containers + 1);
                black_box(apportion(Microjoules::new(123_456_789), &weights))
            });
        });
    }
    group.finish();
}

fn usage_node(at: usize, containers: usize) -> UsageNode {
    let used = if at == 0 { containers as u64 * 1_000 } else { 900 + at as u64 % 100 };
    UsageNode {
        key: at as u64,
        parent: (at > 0).then_some(0),
        owner: OwnerId::from_index(at).unwrap_or(OwnerId::SYSTEM),
        delta: Some(CpuTime::from_nanos(used)),
        is_missed: false,
        vanished: false,
        rate: CpuTime::ZERO,
        direct: CpuTime::ZERO,
        is_coarse: false,
        elsewhere: CpuTime::ZERO,
    }
}

/// A node of files: `containers` containers of ten processes each.
fn fixture(root: &Path, containers: usize) -> std::io::Result<()> {
    let write = |path: String, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, text)
    };
    write("sys/fs/cgroup/cgroup.controllers".to_owned(), "cpu\n")?;
    write("proc/meminfo".to_owned(), "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\n")?;
    write("proc/cpuinfo".to_owned(), "processor : 0\nmodel name : none\n")?;
    write("sys/devices/system/cpu/online".to_owned(), "0-1\n")?;
    let usage = "usage_usec 1000\nuser_usec 1000\nsystem_usec 0\n";
    write("sys/fs/cgroup/cpu.stat".to_owned(), usage)?;
    write("sys/fs/cgroup/docker/cpu.stat".to_owned(), usage)?;
    for container in 0..containers {
        let id = format!("{container:064x}");
        write(format!("sys/fs/cgroup/docker/{id}/cpu.stat"), usage)?;
        for process in 0..10 {
            let pid = 1_000 + container * 10 + process;
            let stat = format!("{pid} (bench) S 1 1 1 0 -1 0 0 0 0 0 7 5 0 0 20 0 1 0 12345 0 0\n");
            write(format!("proc/{pid}/stat"), &stat)?;
            write(format!("proc/{pid}/cgroup"), &format!("0::/docker/{id}\n"))?;
        }
    }
    Ok(())
}

fn sampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node of files");
    group.sample_size(20);
    for containers in [50, 500] {
        let Ok(dir) = tempfile::tempdir() else { return };
        if fixture(dir.path(), containers).is_err() {
            return;
        }
        let mut settings = Settings::default();
        settings.path.procfs = dir.path().join("proc");
        settings.path.sysfs = dir.path().join("sys");
        // Nobody names these containers.
        settings.names.wait = Duration::ZERO;
        let (Ok(factors), Ok(clock)) = (resolve(&FactorSettings::default()), Clock::new()) else { return };
        let pricer = Pricer::new(factors, None, Duration::ZERO, Market::default(), None);
        let board = Arc::new(GridBoard::new(vec![]));
        let mut sampler = Sampler::new(&settings, pricer, (board, Arc::default()), clock, 10_000);
        let mut now = Duration::from_secs(1);
        let mut tick = || {
            now += Duration::from_secs(1);
            sampler.tick(Tick { monotonic: now, boottime: now })
        };
        tick();
        let snapshot = tick();
        group.bench_function(BenchmarkId::new("tick", containers), |bench| bench.iter(&mut tick));
        let own = OwnProcess::read().ok();
        let text = encode(&snapshot, own.as_ref()).unwrap_or_default();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        group.bench_function(BenchmarkId::new("encode", format!("{series} series")), |bench| {
            bench.iter(|| black_box(encode(&snapshot, own.as_ref())));
        });
    }
    group.finish();
}

criterion_group!(benches, attribution, sampling);
criterion_main!(benches);
