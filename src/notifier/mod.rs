//! Queues to external Alertmanagers.
