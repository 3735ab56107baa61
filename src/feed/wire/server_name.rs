//! The names by which servers of this kind know themselves and each other.

/// The header of every answer of this program: the id of its process. An answer without it is from another program.
pub const SERVER_HEADER: &str = "nas-server";

/// The header in which a replica names its upstream servers: the one that answered last, then those that this one
/// named, separated by commas.
pub const UPSTREAM_HEADER: &str = "nas-upstream";

/// How the name of a process begins.
pub const NAME_PREFIX: &str = "nats-account-server-";

/// Servers that one request or answer may pass.
pub const MAX_HOPS: usize = 8;

/// Characters of a name that are kept.
pub const LONGEST_NAME: usize = 64;

/// A name for a process: 16 random hexadecimal digits after [`NAME_PREFIX`].
pub fn new_name() -> String {
    format!("{NAME_PREFIX}{:016x}", rand::random::<u64>())
}

/// The names in a header value of [`UPSTREAM_HEADER`], as many as may count and as much of each as is kept.
pub fn names(value: &str) -> Vec<String> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.take(MAX_HOPS).map(|name| name.chars().take(LONGEST_NAME).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_in_number_and_length() {
        assert_eq!(names(" a,b ,, c"), ["a", "b", "c"]);
        assert!(names("").is_empty());
        let many = names(&format!("{}, {}", "x".repeat(1_000), "y,".repeat(100)));
        assert_eq!((many.len(), many[0].len()), (MAX_HOPS, LONGEST_NAME));
        assert!(new_name() != new_name() && new_name().starts_with(NAME_PREFIX));
    }
}
