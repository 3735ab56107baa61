//! Subject mappings.

use std::collections::BTreeMap;

use super::super::claims::WeightedMapping;
use super::super::quote::quote;
use super::{Issues, subject};

/// The rules for mappings: per cluster, and for the entries of no cluster, weights are parts of a hundred.
pub(super) fn check(mappings: &BTreeMap<String, Vec<WeightedMapping>>, issues: &mut Issues) {
    for (from, targets) in mappings {
        subject::check(from, issues);
        let mut by_cluster: BTreeMap<&str, u64> = BTreeMap::new();
        for target in targets {
            subject::check(&target.subject, issues);
            let weight = if target.weight == 0 { 100 } else { target.weight };
            if weight > 100 {
                issues.error(format!("Mapping {} has a weight {weight} that exceeds 100", quote(from)));
            }
            let total = by_cluster.entry(&target.cluster).or_default();
            *total += u64::from(weight);
            if *total > 100 && !target.cluster.is_empty() {
                let (from, cluster) = (quote(from), quote(&target.cluster));
                issues.error(format!(
                    "Mapping {from} in cluster {cluster} exceeds 100% among all of it's weighted to mappings"
                ));
            }
        }
        if by_cluster.get("").is_some_and(|&total| total > 100) {
            let from = quote(from);
            issues.error(format!("Mapping {from} exceeds 100% among all of it's weighted to mappings"));
        }
    }
}
