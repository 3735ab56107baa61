//! Ports for servers that must know theirs before they are started.

use parking_lot::Mutex;
use std::net::TcpListener;

/// Below the ports that Linux gives to whoever asks for any, such as every client. One of those can be taken by another test before
/// its server listens.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that nobody listens on, and that no other test of this program gets.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock();
    loop {
        let port = rand::random_range(RANGE);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.push(port);
            return port;
        }
    }
}

/// The same as an address.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}
