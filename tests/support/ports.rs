//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below the kernel's range for outgoing connections (32768 and up), so that no connection of ours can take
/// the port of a server that is stopped for a moment.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 that nobody listened on a moment ago. Whoever uses it must cope with a collision.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = fastrand::u16(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 in {RANGE:?} after 100 attempts")
}
