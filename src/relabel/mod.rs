//! Relabelling of targets, metrics and alerts.
