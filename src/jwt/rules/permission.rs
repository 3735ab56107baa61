//! Permissions of users.

use super::super::claims::{Permission, Permissions};
use super::{Issues, subject};

/// The rules for permissions: those to subscribe come first, and may name a queue.
pub(super) fn check(permissions: &Permissions, issues: &mut Issues) {
    side(&permissions.subscribe, true, issues);
    side(&permissions.publish, false, issues);
}

fn side(permission: &Permission, queue_allowed: bool, issues: &mut Issues) {
    for entry in permission.allow.iter().chain(&permission.deny) {
        let parts: Vec<_> = entry.split(' ').collect();
        match parts[..] {
            [subject] => subject::check(subject, issues),
            [subject, queue] => {
                subject::check(subject, issues);
                subject::check(queue, issues);
                if !queue_allowed {
                    issues.error(format!("Permission Subject \"{entry}\" is not allowed to contain queue"));
                }
            }
            _ => issues.error(format!("Permission Subject \"{entry}\" contains too many spaces")),
        }
    }
}
