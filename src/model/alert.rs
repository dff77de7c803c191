//! An alert on its way from a rule to the people who must know.

use super::wire::{Malformed, Read, Write};
use super::{Fingerprint, Labels, Timestamp};

/// An alert as rules hand it to the notifier and the router; the wire form of Alertmanager's API v2.
///
/// Its identity is its labels alone; annotations may change while it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identity, `alertname` included.
    pub labels: Labels,
    /// Text for people.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ended, or until when a receiver may believe it still fires if nobody repeats it.
    pub ends_at: Timestamp,
    /// Where the alert came from, a link; may be empty.
    pub generator_url: String,
}

impl Alert {
    /// Hash of the labels, the identity that Alertmanager shows.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }

    /// The alert's name, empty if it has none.
    pub fn name(&self) -> &str {
        self.labels.get(super::ALERT_NAME).unwrap_or("")
    }

    /// Adds those of `external` that the alert does not have itself, as Prometheus does before it sends.
    #[must_use]
    pub fn with_external_labels(mut self, external: &Labels) -> Alert {
        if !external.is_empty() {
            let mut labels = self.labels.to_builder();
            for label in external.iter().filter(|label| self.labels.get(&label.name).is_none()) {
                labels.set(label.name.clone(), label.value.clone());
            }
            self.labels = labels.build();
        }
        self
    }

    /// Appends it to bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.labels(&self.labels);
        out.labels(&self.annotations);
        out.instant(self.starts_at);
        out.instant(self.ends_at);
        out.text(&self.generator_url);
    }

    /// Takes one from bytes.
    pub fn read(read: &mut Read<'_>) -> Result<Alert, Malformed> {
        Ok(Alert {
            labels: read.labels()?,
            annotations: read.labels()?,
            starts_at: read.instant()?,
            ends_at: read.instant()?,
            generator_url: read.text()?.to_owned(),
        })
    }

    /// Whether it has ended at `now`.
    pub fn is_resolved_at(&self, now: Timestamp) -> bool {
        self.ends_at <= now
    }
}
