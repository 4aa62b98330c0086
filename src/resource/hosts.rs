//! Which hosts a tenant may send the operator to.

use super::glob;
use super::url::{InvalidUrl, RepoUrl};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses where clouds answer with credentials of the machine, and which are not link-local as the others are.
const METADATA: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];

/// Which addresses repositories, and what serves them with tokens, may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    /// Whether `http://`, `file://` and local addresses may be used.
    pub allow_insecure: bool,
    /// Globs of host names; empty: any.
    pub allowed: Vec<HostPattern>,
}

/// A host name, or a glob in which `*` stands for any run of characters. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

/// An address that may not be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefusedUrl {
    /// It is no address of a repository, or a local or unencrypted one.
    #[error(transparent)]
    Invalid(#[from] InvalidUrl),
    /// The operator's flag does not list the host.
    #[error("the host {0} is not among those that the operator's flag --allowed-git-hosts lists")]
    NotAllowed(String),
}

impl HostPattern {
    /// A pattern as it is written in the flag.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.trim().to_ascii_lowercase())
    }

    fn admits(&self, host: &str) -> bool {
        glob::matches(&self.0, host.trim_end_matches('.'))
    }
}

impl HostPolicy {
    /// Parses and checks the address of a repository.
    ///
    /// # Errors
    /// Says what is wrong with the address, never repeating a credential.
    pub fn parse(&self, text: &str) -> Result<RepoUrl, RefusedUrl> {
        let url = RepoUrl::parse(text, self.allow_insecure)?;
        if self.allowed.is_empty() || self.allowed.iter().any(|pattern| pattern.admits(url.host())) {
            return Ok(url);
        }
        Err(RefusedUrl::NotAllowed(if url.host().is_empty() { "of file://".to_owned() } else { url.host().to_owned() }))
    }
}

/// Whether an address is this machine, its link, or where its cloud hands out credentials.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    let special = |v4: Ipv4Addr| v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0;
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => special(v4),
            IpAddr::V6(v6) => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unicast_link_local()
                    || embedded(v6).is_some_and(|v4| is_local(IpAddr::V4(v4)))
            }
        }
}

/// The IPv4 address that an IPv6 address leads to: `::ffff:a.b.c.d`, and `64:ff9b::a.b.c.d` of NAT64.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let last = || Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    v6.to_ipv4_mapped().or_else(|| ([a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0]).then(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_hosts_are_admitted() {
        let policy = |allowed: &[&str]| HostPolicy {
            allow_insecure: false,
            allowed: allowed.iter().map(|pattern| HostPattern::new(pattern)).collect(),
        };
        let table: [(&[&str], &str, bool); 9] = [
            (&[], "https://anything.example/r", true),
            (&["github.com"], "https://GitHub.com/o/r", true),
            (&["github.com"], "https://github.com./o/r", true),
            (&["github.com"], "https://github.com.evil.example/o/r", false),
            (&["github.com"], "https://evil-github.com/o/r", false),
            (&["*.Example.com"], "https://git.example.com:8443/r", true),
            (&["*.example.com"], "https://example.com/r", false),
            (&["a.example", "git*.b.example"], "https://git2.b.example/r", true),
            (&["*"], "https://anything.example/r", true),
        ];
        for (allowed, url, expected) in table {
            assert_eq!(policy(allowed).parse(url).is_ok(), expected, "{allowed:?} {url}");
        }
        let refusal = policy(&["github.com"]).parse("https://evil.example/r").unwrap_err();
        assert_eq!(refusal, RefusedUrl::NotAllowed("evil.example".into()));
        assert!(matches!(policy(&["*"]).parse("https://127.0.0.1/r"), Err(RefusedUrl::Invalid(_))));
    }

    #[test]
    fn addresses_of_the_machine_and_its_cloud_are_local() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "100.100.100.200",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_local(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "192.168.1.1", "140.82.121.3", "2606:50c0::1", "fd12::1", "64:ff9b::8c52:7903"] {
            assert!(!is_local(address.parse().unwrap()), "{address}");
        }
    }
}
