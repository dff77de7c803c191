//! A snapshot of one objective's group, for the page and the API.

use std::sync::Arc;

use crate::model::{Labels, Timestamp};

use super::accounting::Sizes;
use super::exclusion::Exclusion;
use super::figures::Figures;
use super::guard::Guard;
use super::levels::Level;
use super::partly::PartlySeen;
use super::policy::{Severity, Tier};
use super::spec::{About, Budgeting};
use super::trend::TrendPoint;
use super::window::Window;

/// How one group of one objective stood at the last slot; before the first one of a process, as far as that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct SloStatus {
    /// The objective's name.
    pub name: Arc<str>,
    /// The values of its grouping labels; empty when it is not grouped.
    pub group: Labels,
    /// The labels of the specification, `service` among them.
    pub labels: Labels,
    /// Texts of the specification.
    pub about: About,
    /// In percent.
    pub objective_percent: f64,
    /// What its budget is for.
    pub window: Window,
    /// What the objective is a share of.
    pub budgeting: Budgeting,
    /// Whether events are counted one by one; queries over windows do not.
    pub is_event_exact: bool,
    /// Whether the figures are of an evaluation, and not of what was durable when this process began.
    pub is_evaluated: bool,
    /// The tiers of its policy.
    pub tiers: Vec<Tier>,
    /// All figures: windows with events, error ratio, burn rate and coverage; the budget; the state.
    pub figures: Figures,
    /// What a tier's long window must have seen.
    pub guard: Option<Guard>,
    /// How the budget went since the window began, as of some minutes ago at most.
    pub trend: Arc<[TrendPoint]>,
    /// The level of its budget policy, if one holds.
    pub level: Option<Level>,
    /// The exclusions that are for this group.
    pub exclusions: Vec<Exclusion>,
    /// The tiers whose long window we saw in part only, for reasons of our own.
    pub partly_seen: Arc<[PartlySeen]>,
    /// What the accounting of the objective, all of its groups together, holds and could not take.
    pub sizes: Sizes,
    /// The alerts that fire.
    pub alerts: Vec<SloAlert>,
}

/// An alert of an objective's group that fires.
#[derive(Clone, Debug, PartialEq)]
pub struct SloAlert {
    /// `SLOErrorBudgetBurn`, `SLOErrorBudgetSpent`, `SLONotMeasured` or `SLOPartlyMeasured`.
    pub name: &'static str,
    /// Page or ticket.
    pub severity: Severity,
    /// The tier or the condition on the budget that showed it last.
    pub tier: Option<String>,
    /// Its identity.
    pub labels: Labels,
    /// Its texts.
    pub annotations: Labels,
    /// Since when.
    pub active_at: Timestamp,
}
