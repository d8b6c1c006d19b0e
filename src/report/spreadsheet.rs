//! The report as CSV, a line a deployment.

use super::Report;
use crate::event::{Cause, Outcome, Timestamp};
use std::io;

/// Writes the deployments with a header line.
pub fn write(report: &Report, out: impl io::Write) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let mut header = vec!["deployment", "hosting", "evidence", "deployment_type", "project"];
    header.extend(Outcome::ALL.map(Outcome::as_str));
    header.extend(Cause::ALL.map(Cause::as_str));
    header.extend(["size_bytes", "overflows", "first", "last", "verdict"]);
    // Two columns are called "other": an outcome and a cause.
    let header: Vec<String> = header
        .iter()
        .enumerate()
        .map(|(i, name)| if (9..15).contains(&i) { format!("cause_{name}") } else { (*name).to_owned() })
        .collect();
    writer.write_record(&header)?;
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    for deployment in &report.deployments {
        let attribution = &deployment.attribution;
        let mut record = vec![
            attribution.deployment.to_string(),
            attribution.hosting.to_string(),
            attribution.evidence.as_str().to_owned(),
            attribution.deployment_type.clone().unwrap_or_default(),
            attribution.project.clone().unwrap_or_default(),
        ];
        record.extend(deployment.outcomes.iter().map(ToString::to_string));
        record.extend(deployment.causes.iter().map(ToString::to_string));
        record.extend([
            deployment.size_bytes.to_string(),
            deployment.overflows.to_string(),
            time(deployment.first),
            time(deployment.last),
            deployment.verdict().as_str().to_owned(),
        ]);
        writer.write_record(&record)?;
    }
    writer.flush()?;
    Ok(())
}
