//! How many files and connections the process may have open.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are reserved for everything except client connections: the journal and its readers, files of the
/// folder, operator and TLS files, NATS, and the threads.
const OWN: u64 = 256;

/// Raises the limit to what the system allows this process. Returns the limit in force; `u64::MAX`: there is none.
pub(crate) fn raise() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(in_force())
}

/// The limit in force; `u64::MAX`: there is none.
pub(crate) fn in_force() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Client connections that fit into `limit`. `further`: descriptors that are needed in addition to the usual ones. If
/// the limit is very low, half of it is for clients.
pub(crate) fn for_clients(limit: u64, further: u64) -> usize {
    let own = (OWN + further).min(limit / 2);
    usize::try_from(limit - own).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_files_have_their_share() {
        for (limit, further, wanted) in
            [(1024, 0, 768), (1024, 128, 640), (400, 0, 200), (1, 0, 1), (1_048_576, 0, 1_048_320)]
        {
            assert_eq!(for_clients(limit, further), wanted, "{limit}");
        }
        assert!(for_clients(u64::MAX, 0) > 1 << 40);
    }
}
