//! `limits.bandwidth_*` and what belongs to them.

use super::checked::{Config, Limits, OverTotal};
use super::report::Report;
use super::units::BitRate;
use crate::turn::Bandwidth;

/// The limits, and the keys, from the narrow to the wide.
fn limits(limits: &Limits) -> [(&'static str, Option<BitRate>); 3] {
    [
        ("limits.bandwidth_per_allocation", limits.bandwidth_per_allocation.0),
        ("limits.bandwidth_per_user", limits.bandwidth_per_user.0),
        ("limits.bandwidth_total", limits.bandwidth_total.0),
    ]
}

/// Warns of what is without effect.
pub(super) fn check(config: &Config, report: &mut Report) {
    let limits = limits(&config.limits);
    for (at, (key, rate)) in limits.into_iter().enumerate() {
        let Some(rate) = rate.filter(|_| !report.has_error(key)) else { continue };
        let tighter = limits[at + 1..].iter().find(|(_, wider)| wider.is_some_and(|wider| wider < rate));
        if let Some((wider, _)) = tighter {
            let message = format!("`{key}` is without effect: `{wider}` is less");
            report.warn_at(key, message, "lower it, or delete the line");
        }
    }
    let has_use = limits[1..].iter().any(|(_, rate)| rate.is_some());
    if config.limits.over_total == OverTotal::Refuse && !has_use {
        let message = "`limits.over_total` is without effect: there is no limit to be over";
        report.warn_at("limits.over_total", message, "set bandwidth_total or bandwidth_per_user");
    }
}

/// For the state machine and the ledger.
pub(super) fn settings(of: &Limits) -> Bandwidth {
    let [per_allocation, per_user, total] = limits(of).map(|(_, rate)| rate.map(|rate| rate.bits_per_s));
    Bandwidth { per_allocation, per_user, total, refuses: of.over_total == OverTotal::Refuse }
}
