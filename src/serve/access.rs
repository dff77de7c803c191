//! Who may change us by HTTP.
//!
//! In the flow: `surface` asks once for the ways to change the daemon (reload, silences) and leaves out what is not allowed.

/// From where our listeners can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Every listener is on loopback.
    LoopbackOnly,
    /// At least one is not.
    Beyond,
}

/// Who gets an answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// Whoever reaches us.
    Anyone,
    /// Whoever proves who they are: users with passwords, or client certificates that are required and verified.
    Authenticated,
}

/// What the flag of this way to change us says (`--web.enable-lifecycle`, `--web.enable-remote-write-receiver`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// Not given.
    Absent,
    /// Given.
    Given,
}

/// Whether we may be changed by HTTP. On loopback whoever can reach us could change our files as well; beyond it, strangers need a flag.
pub(super) fn may_change(reach: Reach, callers: Callers, flag: Flag) -> bool {
    reach == Reach::LoopbackOnly || callers == Callers::Authenticated || flag == Flag::Given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_beyond_loopback_need_the_flag() {
        use {Callers::*, Flag::*, Reach::*};
        for (reach, callers, flag, expected) in [
            (LoopbackOnly, Anyone, Absent, true),
            (LoopbackOnly, Anyone, Given, true),
            (LoopbackOnly, Authenticated, Absent, true),
            (LoopbackOnly, Authenticated, Given, true),
            (Beyond, Anyone, Absent, false),
            (Beyond, Anyone, Given, true),
            (Beyond, Authenticated, Absent, true),
            (Beyond, Authenticated, Given, true),
        ] {
            assert_eq!(may_change(reach, callers, flag), expected, "{reach:?} {callers:?} {flag:?}");
        }
    }
}
