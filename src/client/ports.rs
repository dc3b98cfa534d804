//! Ports of this machine that nobody uses.
//!
//! Apart because servers of every kind need one that stays theirs while they are down: it lies below the ports that
//! the kernel gives to clients (from 32768 on).

use super::Error;
use std::net::TcpListener;
use std::ops::Range;

const PORTS: Range<u16> = 10_000..32_000;
/// How many ports are tried before all of them count as used.
const TRIES: usize = 1000;

/// A free port, chosen at random, with the listener that holds it.
pub fn listen() -> Result<TcpListener, Error> {
    let ports = std::iter::repeat_with(|| rand::random_range(PORTS)).take(TRIES);
    let mut free = ports.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let none = || Error::new("cannot find a free port", format!("all {TRIES} that were tried are in use"));
    free.next().ok_or_else(none)
}

/// A free port, chosen at random; another program may take it before its user does.
pub fn free() -> Result<u16, Error> {
    let address = listen()?.local_addr();
    address.map(|address| address.port()).map_err(|e| Error::caused_by("cannot find a free port", e))
}

/// Whether nobody listens at this port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_used_while_somebody_listens_at_it() {
        let listener = listen().unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(PORTS.contains(&port) && !is_free(port));
        drop(listener);
        assert!(is_free(port) && PORTS.contains(&free().unwrap()));
    }
}
