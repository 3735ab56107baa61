//! What a change means for clients that are connected to the nats-servers: which claims do not reach them, and what it
//! takes from them.

pub mod live;
pub mod release;
pub mod withdrawn;

/// Whether the limit `after` grants less than `before`; -1 is unlimited.
fn is_lowered(before: i64, after: i64) -> bool {
    let granted = |limit| if limit == -1 { i64::MAX } else { limit };
    granted(after) < granted(before)
}

#[cfg(test)]
mod tests;
