//! Every metric of the operator, in one list.
//!
//! Names begin with `gitopsreverser_`; units are seconds. No label ever holds the name of an object, a user or a URL.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The name that begins all others.
const NAMESPACE: &str = "gitopsreverser";
/// The tier of a change that nobody is known to have made.
const NOBODY: &str = "none";
/// Upper ends of the buckets for admission, in seconds: its target is 5 ms, its end 1 s.
const ADMISSION_BUCKETS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// The metrics cannot be set up, which is a defect of their definitions.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up: {0}")]
pub struct MetricsError(#[from] opentelemetry_sdk::error::OTelSdkError);

/// What became of one admission request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionOutcome {
    /// It was understood, and allowed.
    Allowed,
    /// It was not understood.
    Malformed,
    /// It was no admission request, or broke a limit.
    Refused,
}

impl AdmissionOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
        }
    }
}

/// Changes that were taken into a commit since the start, by target and by how firmly their author is known.
#[derive(Debug, Default)]
pub struct AttributedChanges(Mutex<BTreeMap<String, BTreeMap<&'static str, u64>>>);

impl AttributedChanges {
    /// Counts one change for `target`, `namespace/name`.
    pub fn count(&self, target: &str, tier: &'static str) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !targets.contains_key(target) {
            targets.insert(target.to_owned(), BTreeMap::new());
        }
        if let Some(tiers) = targets.get_mut(target) {
            *tiers.entry(tier).or_default() += 1;
        }
    }

    /// The count of each tier for `target`, `namespace/name`.
    #[must_use]
    pub fn of(&self, target: &str) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned().unwrap_or_default()
    }

    fn each(&self, mut visit: impl FnMut(&str, &'static str, u64)) {
        let targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().for_each(|(target, tiers)| tiers.iter().for_each(|(tier, count)| visit(target, tier, *count)));
    }
}

/// All instruments.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    meter: Meter,
    /// Instruments measure nothing once it is gone.
    _provider: SdkMeterProvider,
    admission: Histogram<f64>,
    discovery_errors: Counter<u64>,
    attributed: Arc<AttributedChanges>,
}

impl Metrics {
    /// Sets up all instruments.
    ///
    /// # Errors
    /// When a definition is wrong.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_namespace(NAMESPACE)
            .without_target_info()
            .scope_info_enabled(false)
            .build()?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter(NAMESPACE);
        let admission = meter
            .f64_histogram("webhook_request_duration")
            .with_unit("s")
            .with_description("Time from the head of an admission request to its answer")
            .with_boundaries(ADMISSION_BUCKETS.to_vec())
            .build();
        let discovery_errors = meter
            .u64_counter("discovery_errors")
            .with_description("Questions of what the API server serves that it did not answer")
            .build();
        // A counter that begins with its first error has no rate at that moment.
        discovery_errors.add(0, &[]);
        let attributed = Arc::<AttributedChanges>::default();
        observe_attributed(&meter, &attributed);
        Ok(Self { registry, meter, _provider: provider, admission, discovery_errors, attributed })
    }

    /// One admission request was answered: `gitopsreverser_webhook_request_duration_seconds{outcome}`.
    pub fn admission(&self, took: Duration, outcome: AdmissionOutcome) {
        self.admission.record(took.as_secs_f64(), &[KeyValue::new("outcome", outcome.as_str())]);
    }

    /// The API server did not say what it serves: `gitopsreverser_discovery_errors_total`.
    pub fn discovery_failed(&self) {
        self.discovery_errors.add(1, &[]);
    }

    /// Where changes are counted: `gitopsreverser_enrich_hits_total{target, tier}` and
    /// `gitopsreverser_enrich_misses_total{target}`, of which the latter have no candidate for an author.
    #[must_use]
    pub const fn attributed(&self) -> &Arc<AttributedChanges> {
        &self.attributed
    }

    /// Takes from `records` how many admission records there are, `gitopsreverser_kv_entries`, and from `evictions` how
    /// many went for want of room, by what there was too much of: `gitopsreverser_kv_evictions_total{reason}`.
    pub fn observe_records(
        &self,
        records: impl Fn() -> u64 + Send + Sync + 'static,
        evictions: impl Fn() -> [(&'static str, u64); 3] + Send + Sync + 'static,
    ) {
        self.meter
            .u64_observable_gauge("kv_entries")
            .with_description("Admission records that wait for their change")
            .with_callback(move |observer| observer.observe(records(), &[]))
            .build();
        self.meter
            .u64_observable_counter("kv_evictions")
            .with_description("Admission records that went for want of room")
            .with_callback(move |observer| {
                for (reason, count) in evictions() {
                    observer.observe(count, &[KeyValue::new("reason", reason)]);
                }
            })
            .build();
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn observe_attributed(meter: &Meter, attributed: &Arc<AttributedChanges>) {
    let target = |target: &str| KeyValue::new("target", target.to_owned());
    let changes = Arc::clone(attributed);
    meter
        .u64_observable_counter("enrich_hits")
        .with_description("Committed changes that an admission record fits")
        .with_callback(move |observer| {
            changes.each(|name, tier, count| {
                if tier != NOBODY {
                    observer.observe(count, &[target(name), KeyValue::new("tier", tier)]);
                }
            });
        })
        .build();
    let changes = Arc::clone(attributed);
    meter
        .u64_observable_counter("enrich_misses")
        .with_description("Committed changes that no admission record fits")
        .with_callback(move |observer| {
            changes.each(|name, tier, count| {
                if tier == NOBODY {
                    observer.observe(count, &[target(name)]);
                }
            });
        })
        .build();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_units_are_those_that_dashboards_know() {
        let metrics = Metrics::new().unwrap();
        metrics.admission(Duration::from_micros(300), AdmissionOutcome::Allowed);
        metrics.admission(Duration::from_secs(3), AdmissionOutcome::Malformed);
        assert!(
            String::from_utf8(metrics.text().unwrap()).unwrap().contains("gitopsreverser_discovery_errors_total 0")
        );
        metrics.discovery_failed();
        metrics.observe_records(|| 7, || [("records", 2), ("records_per_uid", 0), ("bytes", 0)]);
        for tier in ["exact", "exact", "none"] {
            metrics.attributed().count("ns/live", tier);
        }
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"gitopsreverser_webhook_request_duration_seconds_bucket{outcome="allowed",le="0.0005"} 1"#,
            r#"gitopsreverser_webhook_request_duration_seconds_bucket{outcome="malformed",le="1"} 0"#,
            r#"gitopsreverser_webhook_request_duration_seconds_count{outcome="malformed"} 1"#,
            r#"gitopsreverser_enrich_hits_total{target="ns/live",tier="exact"} 2"#,
            r#"gitopsreverser_enrich_misses_total{target="ns/live"} 1"#,
            "gitopsreverser_discovery_errors_total 1",
            "gitopsreverser_kv_entries 7",
            r#"gitopsreverser_kv_evictions_total{reason="records"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(metrics.attributed().of("ns/live"), BTreeMap::from([("exact", 2), ("none", 1)]));
        assert!(metrics.attributed().of("ns/other").is_empty());
    }
}
