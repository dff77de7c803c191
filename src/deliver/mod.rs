//! Queues to the receivers of the embedded router.
