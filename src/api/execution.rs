//! Running a query beside the async threads: at most so many at once, for at most so long, and not for somebody who has left.
//!
//! **Why a thread per query.** Evaluation computes and never waits, so it would hold up every other request of its async
//! thread. A query that is no longer wanted ends at its next look at the interrupt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::answer::{Answer, ApiError, ApiResult, ErrorKind};
use super::state::Queries;
use crate::clock::Stopwatch;
use crate::promql::eval::{EvalError, Interrupt};

/// Asked by the evaluator now and then.
pub(super) type InterruptHook<'a> = &'a dyn Fn() -> Option<Interrupt>;

/// Runs `work` on a thread of its own, once there is a free slot. `work` must heed the hook that it is given; it learns how long
/// it waited for the slot.
pub(super) async fn run(
    queries: &Queries,
    timeout: Duration,
    work: impl FnOnce(InterruptHook<'_>, Duration) -> Result<Answer, EvalError> + Send + 'static,
) -> ApiResult {
    let stopwatch = Stopwatch::start();
    let active = Active::count(&queries.active);
    let slot = tokio::time::timeout(timeout, queries.slots.clone().acquire_owned()).await;
    let Ok(slot) = slot else {
        return Err(ApiError::new(ErrorKind::Timeout, "query timed out in query queue"));
    };
    let slot = slot.expect("BUG: the semaphore of queries was closed");
    let queued = stopwatch.elapsed();
    let guard = CancelOnDrop(Arc::default());
    let is_canceled = guard.0.clone();
    let task = tokio::task::spawn_blocking(move || {
        let (_slot, _active) = (slot, active);
        let interrupt = || {
            if is_canceled.load(Ordering::Relaxed) {
                Some(Interrupt::Canceled)
            } else {
                (stopwatch.elapsed() >= timeout).then_some(Interrupt::Timeout)
            }
        };
        work(&interrupt, queued)
    });
    match task.await {
        Ok(result) => result.map_err(ApiError::from),
        Err(error) => {
            tracing::error!(%error, "a query panicked");
            Err(ApiError::new(ErrorKind::Internal, "unexpected error: the query panicked; see the log"))
        }
    }
}

/// Runs a look-up on a thread of its own: on a large index it takes a while.
pub(super) async fn blocking(work: impl FnOnce() -> Answer + Send + 'static) -> ApiResult {
    let answer = tokio::task::spawn_blocking(work).await;
    answer.map_err(|error| {
        tracing::error!(%error, "a look-up panicked");
        ApiError::new(ErrorKind::Internal, "unexpected error: the look-up panicked; see the log")
    })
}

/// A query that runs or waits, as long as this lives: when nobody asks any more it runs on to its next look at the interrupt.
struct Active(Arc<AtomicUsize>);

impl Active {
    fn count(active: &Arc<AtomicUsize>) -> Self {
        active.fetch_add(1, Ordering::Relaxed);
        Active(active.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Set when the handler's future is dropped, which happens when the client goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl From<EvalError> for ApiError {
    fn from(error: EvalError) -> Self {
        let kind = match error {
            EvalError::Canceled => ErrorKind::Canceled,
            EvalError::Timeout => ErrorKind::Timeout,
            EvalError::NotRangeable(_) => return ApiError::bad_parameter("query", error),
            _ => ErrorKind::Execution,
        };
        ApiError::new(kind, error.to_string())
    }
}
