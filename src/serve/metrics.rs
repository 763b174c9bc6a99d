//! Metrics, in Prometheus' text format.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::error::{Error, Result};
use crate::named_enum::Named;
use crate::serve::job::State;
use crate::serve::store::JobCounts;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [
    0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
];

/// Classes of HTTP status codes.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counters of the server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    jobs: IntCounterVec,
    steps: IntCounter,
    images: IntCounter,
    wait: Histogram,
    run: Histogram,
    response: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        Self::register().map_err(metrics_error)
    }

    fn register() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let by_class = Opts::new(
            "sdgen_http_requests_total",
            "Requests answered, by class of status.",
        );
        let by_state = Opts::new("sdgen_jobs_total", "Jobs that ended, by state.");
        let metrics = Self {
            requests: add(r, IntCounterVec::new(by_class, &["status"]))?,
            jobs: add(r, IntCounterVec::new(by_state, &["state"]))?,
            steps: add(
                r,
                IntCounter::new("sdgen_steps_total", "Denoising steps, for each image."),
            )?,
            images: add(
                r,
                IntCounter::new("sdgen_images_total", "Images generated."),
            )?,
            wait: durations(r, "sdgen_job_wait_seconds", "From submission to start.")?,
            run: durations(r, "sdgen_job_draw_seconds", "From start to end.")?,
            response: durations(
                r,
                "sdgen_http_request_seconds",
                "From request to the head of its response.",
            )?,
            registry,
        };
        // Series with every label are there from the start, so that rates can be computed.
        for class in STATUS_CLASSES {
            metrics.requests.with_label_values(&[class]);
        }
        for (state, name) in State::ALL {
            if state.is_final() {
                metrics.jobs.with_label_values(&[*name]);
            }
        }
        Ok(metrics)
    }

    /// Counts a request and the time until its response.
    pub(crate) fn record_request(&self, status: u16, seconds: f64) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        let requests = &self.requests;
        requests.with_label_values(&[STATUS_CLASSES[class]]).inc();
        self.response.observe(seconds);
    }

    /// Counts a network evaluation for this number of images.
    pub(crate) fn record_steps(&self, images: usize) {
        self.steps.inc_by(images as u64);
    }

    /// Counts an ended job and the times for which it was queued and running.
    pub(crate) fn record_job(
        &self,
        state: State,
        images: usize,
        wait: Option<f64>,
        run: Option<f64>,
    ) {
        self.images.inc_by(images as u64);
        self.jobs.with_label_values(&[state.name()]).inc();
        if let Some(seconds) = wait {
            self.wait.observe(seconds);
        }
        if let Some(seconds) = run {
            self.run.observe(seconds);
        }
    }

    /// All metrics; without those of the queue while it is unreachable.
    pub(crate) fn render(&self, counts: Option<&JobCounts>) -> Result<String> {
        let mut families = gauges(counts).map_err(metrics_error)?.gather();
        families.extend(self.registry.gather());
        let text = TextEncoder::new().encode_to_string(&families);
        text.map_err(metrics_error)
    }
}

/// Figures that are read when they are asked for.
fn gauges(counts: Option<&JobCounts>) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: u64| -> prometheus::Result<()> {
        add(&registry, IntGauge::new(name, help))?.set(value as i64);
        Ok(())
    };
    let is_up = u64::from(counts.is_some());
    gauge("sdgen_queue_up", "Whether the queue answers.", is_up)?;
    if let Some(counts) = counts {
        let JobCounts {
            queued,
            running,
            ended,
            bytes,
            unwritten: _,
        } = *counts;
        gauge("sdgen_queue_depth", "Queued jobs.", queued as u64)?;
        gauge("sdgen_jobs_running", "Running jobs.", running as u64)?;
        let help = "Ended jobs that have not expired.";
        gauge("sdgen_jobs_kept", help, ended as u64)?;
        gauge("sdgen_results_bytes", "Bytes of stored images.", bytes)?;
    }
    if let Some(bytes) = crate::nn::resident_memory() {
        gauge("process_resident_memory_bytes", "Resident memory.", bytes)?;
    }
    Ok(registry)
}

fn add<T: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<T>,
) -> prometheus::Result<T> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn durations(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Histogram> {
    let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    add(registry, Histogram::with_opts(options))
}

fn metrics_error(error: prometheus::Error) -> Error {
    Error::internal("cannot collect the metrics").source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_sample_or_a_comment_and_buckets_add_up() {
        let metrics = Metrics::new().unwrap();
        metrics.record_request(503, 0.02);
        metrics.record_steps(4);
        metrics.record_job(State::Completed, 2, Some(0.2), Some(2.0));
        let text = metrics.render(Some(&JobCounts {
            queued: 3,
            ..JobCounts::default()
        }));
        let text = text.unwrap();
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
