//! Several threads, where whoever owns the plans has some to lend. The core starts none by itself.

/// Runs pieces of work side by side.
pub trait Executor: Send + Sync {
    /// How many pieces run at a time.
    fn width(&self) -> usize;

    /// Calls `work` once with each number below `count`, in any order, on any thread; returns when all calls have.
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync));
}
