//! What came of runs, as plots.

use crate::report::Report;
use offst_plots::{Curve, draw as draw_curves};
use offst_simulator::economy::Sample;
use std::path::Path;

/// Samples that are taken together where few payments fail.
const TOGETHER: usize = 4;

/// Draws all plots into a folder.
pub(crate) fn draw(folder: &Path, reports: &[Report]) -> anyhow::Result<()> {
    let curves = |points: &dyn Fn(&Report) -> Vec<(f64, f64)>| -> Vec<Curve> {
        reports.iter().map(|report| Curve { name: report.scenario_name(), points: points(report) }).collect()
    };
    let over_time = |value: fn(&Sample) -> f64| {
        curves(&|report| report.outcome.samples.iter().map(|sample| (minutes(sample), value(sample))).collect())
    };
    draw_curves(
        &folder.join("failures.svg"),
        "Possible payments that were not paid",
        "minutes",
        "percent",
        &curves(&failures),
    )?;
    draw_curves(
        &folder.join("exhausted.svg"),
        "Directions of friendships that hold less than a tenth",
        "minutes",
        "percent",
        &over_time(|sample| sample.exhausted_percent),
    )?;
    draw_curves(
        &folder.join("use.svg"),
        "Median of debt / limit",
        "minutes",
        "percent",
        &over_time(|sample| sample.use_percent),
    )?;
    draw_curves(
        &folder.join("debts.svg"),
        "All debts together",
        "minutes",
        "thousand credits",
        &over_time(|sample| sample.debts as f64 / 1000.0),
    )?;
    draw_curves(
        &folder.join("parts.svg"),
        "Payments that needed at least so many parts",
        "parts",
        "percent",
        &curves(&parts),
    )
}

fn minutes(sample: &Sample) -> f64 {
    sample.at_ms as f64 / 60_000.0
}

fn failures(report: &Report) -> Vec<(f64, f64)> {
    // Nothing began before the first sample.
    let samples = report.outcome.samples.get(1..).unwrap_or_default();
    let together = samples.chunks(TOGETHER).map(|samples| {
        let possible: u64 = samples.iter().map(|sample| sample.began[1]).sum();
        let paid: u64 = samples.iter().map(|sample| sample.began[2]).sum();
        let middle = samples.iter().map(minutes).sum::<f64>() / samples.len() as f64;
        (middle, (possible - paid) as f64 * 100.0 / possible.max(1) as f64)
    });
    together.collect()
}

fn parts(report: &Report) -> Vec<(f64, f64)> {
    let all = report.outcome.paid().max(1) as f64;
    let most = report.paid().map(|deal| deal.parts).max().unwrap_or(1);
    let at_least = |parts| report.paid().filter(|deal| deal.parts >= parts).count() as f64;
    (1..=most).map(|parts| (f64::from(parts), at_least(parts) * 100.0 / all)).collect()
}
