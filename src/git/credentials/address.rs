//! Where the name of a host leads, looked up once and held on to.
//!
//! Git would look it up by itself, and again for each connection: a name could be harmless when it is checked and lead
//! inside when it is used.

use super::error::AccessError;
use crate::resource::{RepoUrl, hosts};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the lookup of a name may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The addresses of a host, none of them local.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// Looks up `host`.
    ///
    /// # Errors
    /// When it has no address, or a local one.
    pub(super) async fn look_up(host: &str, port: u16) -> Result<Self, AccessError> {
        let unresolved = |problem: String| AccessError::Unresolved { host: host.to_owned(), problem };
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let found = match tokio::time::timeout(DEADLINE, tokio::net::lookup_host((name, port))).await {
            Ok(found) => found.map_err(|error| unresolved(error.to_string()))?.collect(),
            Err(_) => return Err(unresolved(format!("no answer within {DEADLINE:?}"))),
        };
        Self::checked(host, found)
    }

    fn checked(host: &str, found: Vec<SocketAddr>) -> Result<Self, AccessError> {
        if let Some(local) = found.iter().find(|address| hosts::is_local(address.ip())) {
            return Err(AccessError::LocalAddress { host: host.to_owned(), address: local.ip() });
        }
        if found.is_empty() {
            return Err(AccessError::Unresolved { host: host.to_owned(), problem: "it has no address".to_owned() });
        }
        Ok(Self(found))
    }

    /// The addresses for a connection of our own.
    #[must_use]
    pub(super) fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }

    /// The value of git's `http.curloptResolve`: `host:port:address,address`.
    #[must_use]
    pub(super) fn pinned(&self, host: &str, port: u16) -> String {
        let addresses: Vec<String> = self
            .0
            .iter()
            .map(|address| if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() })
            .collect();
        format!("{host}:{port}:{}", addresses.join(","))
    }
}

/// The proxy that the environment names for `url`, if any: then it is the proxy that looks up names, and decides.
#[must_use]
pub(super) fn proxy(url: &RepoUrl) -> Option<Intercept> {
    Matcher::from_env().intercept(&url.as_str().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_that_lead_to_this_machine_are_refused() {
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let error = Addresses::look_up(host, 443).await.unwrap_err();
            assert!(matches!(error, AccessError::LocalAddress { .. }), "{host}: {error}");
        }
        let error = Addresses::look_up("nowhere.invalid", 443).await.unwrap_err();
        assert!(error.to_string().contains("Could not resolve host: nowhere.invalid"), "{error}");
    }

    #[test]
    fn one_local_address_among_others_is_enough() {
        let addresses = |list: &[&str]| list.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>();
        let checked = Addresses::checked("h", addresses(&["192.0.2.1:443", "[2001:db8::1]:443"])).unwrap();
        assert_eq!(checked.pinned("h", 443), "h:443:192.0.2.1,[2001:db8::1]");
        let refused = Addresses::checked("h", addresses(&["192.0.2.1:443", "169.254.169.254:443"]));
        assert!(matches!(refused, Err(AccessError::LocalAddress { .. })));
        assert!(matches!(Addresses::checked("h", Vec::new()), Err(AccessError::Unresolved { .. })));
    }
}
