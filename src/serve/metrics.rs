//! Counters, and all of them as Prometheus' text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::job::State;
use super::store::Count;
use crate::named_enum::Named;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [
    0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
];

/// Durations, counted by length.
#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    fn add(&self, seconds: f64) {
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            bucket.fetch_add(u64::from(seconds <= *bound), Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros
            .fetch_add((seconds * 1e6) as u64, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, "histogram", help);
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            line(
                text,
                &format!("{name}_bucket{{le=\"{bound}\"}}"),
                bucket.load(Ordering::Relaxed),
            );
        }
        let count = self.count.load(Ordering::Relaxed);
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}}"), count);
        line(
            text,
            &format!("{name}_sum"),
            self.micros.load(Ordering::Relaxed) as f64 / 1e6,
        );
        line(text, &format!("{name}_count"), count);
    }
}

/// Counters of the server.
#[derive(Default)]
pub(super) struct Metrics {
    requests: [AtomicU64; 5],
    jobs: [AtomicU64; State::ALL.len()],
    steps: AtomicU64,
    images: AtomicU64,
    wait: Histogram,
    draw: Histogram,
    answer: Histogram,
}

impl Metrics {
    /// A request was answered.
    pub(super) fn answered(&self, status: u16, seconds: f64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[class].fetch_add(1, Ordering::Relaxed);
        self.answer.add(seconds);
    }

    /// A call of the network for so many pictures is done.
    pub(super) fn steps(&self, images: usize) {
        self.steps.fetch_add(images as u64, Ordering::Relaxed);
    }

    /// A job ended after waiting and drawing for so long.
    pub(super) fn ended(&self, state: State, images: usize, wait: Option<f64>, draw: Option<f64>) {
        self.images.fetch_add(images as u64, Ordering::Relaxed);
        self.jobs[state as usize].fetch_add(1, Ordering::Relaxed);
        wait.iter().for_each(|seconds| self.wait.add(*seconds));
        draw.iter().for_each(|seconds| self.draw.add(*seconds));
    }

    /// Everything in Prometheus' text format; without the queue while that is out of reach.
    #[allow(clippy::too_many_lines, reason = "one figure after another")]
    pub(super) fn text(&self, now: Option<&Count>) -> String {
        let mut text = String::new();
        gauge(
            &mut text,
            "sdgen_queue_up",
            "Whether the queue answers.",
            u64::from(now.is_some()),
        );
        if let Some(now) = now {
            gauge(
                &mut text,
                "sdgen_queue_depth",
                "Jobs that wait.",
                now.queued as u64,
            );
            gauge(
                &mut text,
                "sdgen_jobs_running",
                "Jobs in the engine.",
                now.running as u64,
            );
            gauge(
                &mut text,
                "sdgen_jobs_kept",
                "Ended jobs that have not expired.",
                now.ended as u64,
            );
            gauge(
                &mut text,
                "sdgen_results_bytes",
                "Bytes of pictures that are kept.",
                now.bytes,
            );
        }
        if let Some(bytes) = crate::nn::resident_memory() {
            gauge(
                &mut text,
                "process_resident_memory_bytes",
                "Resident memory.",
                bytes,
            );
        }
        head(
            &mut text,
            "sdgen_jobs_total",
            "counter",
            "Jobs that ended, by state.",
        );
        for (state, name) in State::ALL.iter().filter(|(state, _)| state.is_final()) {
            let count = self.jobs[*state as usize].load(Ordering::Relaxed);
            line(
                &mut text,
                &format!("sdgen_jobs_total{{state=\"{name}\"}}"),
                count,
            );
        }
        head(
            &mut text,
            "sdgen_http_requests_total",
            "counter",
            "Requests answered, by class of status.",
        );
        for (class, count) in self.requests.iter().enumerate() {
            let name = format!("sdgen_http_requests_total{{status=\"{}xx\"}}", class + 1);
            line(&mut text, &name, count.load(Ordering::Relaxed));
        }
        for (name, help, counter) in [
            (
                "sdgen_steps_total",
                "Denoising steps, for each picture.",
                &self.steps,
            ),
            ("sdgen_images_total", "Pictures drawn.", &self.images),
        ] {
            head(&mut text, name, "counter", help);
            line(&mut text, name, counter.load(Ordering::Relaxed));
        }
        self.wait
            .write(&mut text, "sdgen_job_wait_seconds", "From order to begin.");
        self.draw
            .write(&mut text, "sdgen_job_draw_seconds", "From begin to end.");
        self.answer.write(
            &mut text,
            "sdgen_http_request_seconds",
            "From request to the head of its answer.",
        );
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name} {value}");
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    head(text, name, "gauge", help);
    line(text, name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_sample_or_a_comment_and_buckets_add_up() {
        let metrics = Metrics::default();
        metrics.answered(503, 0.02);
        metrics.steps(4);
        metrics.ended(State::Completed, 2, Some(0.2), Some(2.0));
        let text = metrics.text(Some(&Count {
            queued: 3,
            ..Count::default()
        }));
        for expected in [
            "sdgen_queue_depth 3",
            "sdgen_jobs_total{state=\"completed\"} 1",
            "sdgen_http_requests_total{status=\"5xx\"} 1",
            "sdgen_steps_total 4",
            "sdgen_images_total 2",
            "sdgen_job_draw_seconds_bucket{le=\"1\"} 0",
            "sdgen_job_draw_seconds_bucket{le=\"5\"} 1",
            "sdgen_job_draw_seconds_sum 2",
        ] {
            assert!(
                text.lines().any(|line| line == expected),
                "{expected} in\n{text}"
            );
        }
        let sample = |line: &str| {
            line.rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<f64>().is_ok())
        };
        assert!(
            text.lines()
                .all(|line| line.starts_with('#') || sample(line)),
            "{text}"
        );
    }
}
