//! Ports for servers that must know theirs before they are started.

use nats_account_server::demo;
use parking_lot::Mutex;

/// A port that nobody listens on, and that no other test of this program gets.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock();
    loop {
        let port = demo::free_port().unwrap().local_addr().unwrap().port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// The same as an address.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}
