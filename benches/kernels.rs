//! Each kernel on the shapes of Stable Diffusion 1.5 at 512 × 512 (a UNet batch of two), as GFLOP/s
//! and as a share of what the register tile reaches from the first-level cache.
//!
//! `cargo bench --bench kernels -- 'conv/.*bf16'` runs some of them.

#![allow(clippy::print_stdout, reason = "figures go to stdout")]

use std::time::{Duration, Instant};

use criterion::Criterion;
use sdgen::kernels::bench::{Arithmetic, Case, Kernels, Method};

/// Channels in and out, batch and side of the UNet's 3×3 convolutions that take the most
/// operations.
const UNET_CONVS: [((usize, usize), (usize, usize)); 7] = [
    ((320, 320), (2, 64)),
    ((640, 320), (2, 64)),
    ((640, 640), (2, 32)),
    ((1280, 1280), (2, 32)),
    ((1280, 1280), (2, 16)),
    ((2560, 1280), (2, 16)),
    ((1280, 1280), (2, 8)),
];

/// Convolutions of the decoder, in the same form.
const DECODER_CONVS: [((usize, usize), (usize, usize)); 6] = [
    ((512, 512), (1, 64)),
    ((512, 512), (1, 128)),
    ((256, 256), (1, 256)),
    ((256, 256), (1, 512)),
    ((256, 128), (1, 512)),
    ((128, 128), (1, 512)),
];

/// Tokens, channels in and out, and whether the layer is gated.
const LINEARS: [(usize, (usize, usize), bool); 9] = [
    (8192, (320, 320), false),
    (8192, (320, 1280), true),
    (8192, (1280, 320), false),
    (2048, (640, 640), false),
    (2048, (640, 2560), true),
    (2048, (2560, 640), false),
    (512, (1280, 1280), false),
    (512, (1280, 5120), true),
    (512, (5120, 1280), false),
];

/// Queries and keys, heads and their width.
const ATTENTIONS: [((usize, usize), (usize, usize)); 5] = [
    ((4096, 4096), (16, 40)),
    ((1024, 1024), (16, 80)),
    ((256, 256), (16, 160)),
    ((4096, 77), (16, 40)),
    ((4096, 4096), (1, 512)),
];

const ARITHMETIC: [Arithmetic; 3] = [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::Int8];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    let kernels = Kernels::new();
    for arithmetic in ARITHMETIC {
        let peak = peak(&mut kernels.peak(arithmetic));
        println!("{arithmetic:?}: the register tile reaches {peak:.0} GFLOP/s");
        let bench = &mut Bench {
            criterion: &mut criterion,
            peak: Some(peak),
            arithmetic,
        };
        for ((inputs, outputs), gated, tokens) in
            LINEARS.map(|(tokens, sizes, gated)| (sizes, gated, tokens))
        {
            let gate = if gated { " geglu" } else { "" };
            bench.run(&format!("linear/{tokens} {inputs}-{outputs}{gate}"), || {
                kernels.linear(tokens, inputs, outputs, gated, arithmetic)
            });
        }
        if arithmetic != Arithmetic::Int8 {
            float(bench, &kernels, arithmetic);
        }
    }
    let bench = &mut Bench {
        criterion: &mut criterion,
        peak: None,
        arithmetic: Arithmetic::F32,
    };
    bench.run("norm/group 262144 128", || {
        kernels.group_norm(512 * 512, 128)
    });
    bench.run("norm/layer 8192 320", || kernels.layer_norm(8192, 320));
    criterion.final_summary();
}

/// GFLOP/s, the best of five.
fn peak(case: &mut Case) -> f64 {
    let operations = case.operations as f64;
    let seconds = |_| {
        let start = Instant::now();
        case.run();
        start.elapsed().as_secs_f64()
    };
    operations / (0..5).map(seconds).fold(f64::INFINITY, f64::min) / 1e9
}

/// Kernels without an 8-bit form.
fn float(bench: &mut Bench<'_>, kernels: &Kernels, arithmetic: Arithmetic) {
    let networks = [
        ("unet", Method::Planned, &UNET_CONVS[..]),
        ("vae", Method::PlannedOnce, &DECODER_CONVS[..]),
    ];
    for (network, planned, shapes) in networks {
        for &((inputs, outputs), (batch, side)) in shapes {
            for (name, method) in [
                ("planned", planned),
                ("direct", Method::Direct),
                ("2x2", Method::TwoByTwo),
                ("2x4", Method::TwoByFour),
                ("4x4", Method::FourByFour),
            ] {
                bench.run(
                    &format!("conv/{network} {inputs}-{outputs} {batch}x{side}x{side} {name}"),
                    || kernels.conv(inputs, outputs, batch, side, arithmetic, method),
                );
            }
        }
    }
    for ((queries, keys), (heads, width)) in ATTENTIONS {
        bench.run(
            &format!("attention/{queries}-{keys} {heads}x{width}"),
            || kernels.attention(queries, keys, heads, width, arithmetic),
        );
    }
}

/// Runs cases in one arithmetic.
struct Bench<'a> {
    criterion: &'a mut Criterion,
    /// GFLOP/s of the register tile; of no meaning to norms.
    peak: Option<f64>,
    arithmetic: Arithmetic,
}

impl Bench<'_> {
    /// Times a case, if the command line asks for it, and prints what criterion does not:
    /// operations and bytes a second and the share of the peak, for the best call.
    fn run(&mut self, name: &str, make: impl Fn() -> Case) {
        let (group, name) = name.split_once('/').unwrap_or(("other", name));
        let name = format!("{name} {:?}", self.arithmetic).to_lowercase();
        let mut case = None;
        let mut best = f64::INFINITY;
        let mut group = self.criterion.benchmark_group(group);
        group.bench_function(&name, |bencher| {
            let case = case.get_or_insert_with(&make);
            bencher.iter_custom(|times| {
                let whole = Instant::now();
                for _ in 0..times {
                    let call = Instant::now();
                    case.run();
                    best = best.min(call.elapsed().as_secs_f64());
                }
                whole.elapsed()
            });
        });
        group.finish();
        let Some(case) = case else { return };
        let rate = |number: u64| number as f64 / best / 1e9;
        let share = self.peak.map_or(String::new(), |peak| {
            format!(
                ", {:.0} % of the tile's",
                100.0 * rate(case.operations) / peak
            )
        });
        let (gflops, bandwidth) = (rate(case.operations), rate(case.bytes));
        println!(
            "{name}: best {:.3} ms, {gflops:.0} GFLOP/s{share}, {bandwidth:.1} GB/s",
            1e3 * best
        );
    }
}
