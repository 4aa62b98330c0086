//! Repository addresses.

use std::fmt;

/// The address of a repository, without credentials.
///
/// `Display` and `Debug` show it whole: a URL that carries a user name or password is refused, never stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoUrl {
    text: String,
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    path: String,
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Smart HTTP over TLS.
    Https,
    /// Smart HTTP in clear; only where insecure transports are allowed.
    Http,
    /// A repository on this machine; only where insecure transports are allowed.
    File,
}

/// A repository address that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUrl {
    /// It does not start with a scheme that is understood.
    #[error("the URL has no supported scheme; write it as https://host/path")]
    Scheme,
    /// `http://` or `file://` without the operator's consent.
    #[error("{0}:// is not encrypted; use https://, or start the operator with --allow-insecure-transports")]
    Insecure(&'static str),
    /// An address that only this machine or its cloud knows.
    #[error(
        "{0} is a loopback or link-local address; start the operator with --allow-insecure-transports to permit it"
    )]
    LocalAddress(String),
    /// A user name may be a token, and would end up in logs and process lists.
    #[error("the URL carries a user name or password; put username and password into the Secret of spec.secretRef")]
    UserInfo,
    /// Characters or parts that no repository address has.
    #[error("the URL is malformed: {0}")]
    Malformed(&'static str),
}

impl RepoUrl {
    /// Parses and checks an address. `allow_insecure` admits `http://`, `file://` and local addresses.
    ///
    /// # Errors
    /// Says what is wrong with the address, never repeating a credential.
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, InvalidUrl> {
        if text.len() > 2_000 || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(InvalidUrl::Malformed(
                "it must have at most 2000 characters, without spaces and control characters",
            ));
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Scheme)?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" if allow_insecure => Scheme::Http,
            "file" if allow_insecure => Scheme::File,
            "http" => return Err(InvalidUrl::Insecure("http")),
            "file" => return Err(InvalidUrl::Insecure("file")),
            _ => return Err(InvalidUrl::Scheme),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(InvalidUrl::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        check_host(scheme, host, allow_insecure)?;
        if path.trim_matches('/').is_empty() {
            return Err(InvalidUrl::Malformed("it names no repository after the host"));
        }
        Ok(Self { text: text.to_owned(), scheme, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    /// The address as it was written, for git.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it is reached.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Lower-case host name; empty for `file`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `host[:port]`, as credentials are looked up by.
    #[must_use]
    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// The port, by default that of the scheme; 0 for `file`.
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
            Scheme::File => 0,
        })
    }

    /// Path of the repository without surrounding slashes and without `.git`.
    #[must_use]
    pub fn repository(&self) -> &str {
        let path = self.path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }

    /// `host[:port]/path`: equal for two spellings of one address.
    #[must_use]
    pub fn normalized(&self) -> String {
        let default = match self.scheme {
            Scheme::Https => Some(443),
            Scheme::Http => Some(80),
            Scheme::File => None,
        };
        let port = self.port.filter(|port| Some(*port) != default).map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}/{}", self.host, self.repository())
    }
}

fn split_port(host_port: &str) -> Result<(&str, Option<u16>), InvalidUrl> {
    let at = host_port.rfind(':').filter(|at| !host_port[*at..].contains(']'));
    let Some(at) = at else { return Ok((host_port, None)) };
    let port =
        host_port[at + 1..].parse().map_err(|_| InvalidUrl::Malformed("its port is no number from 0 to 65535"))?;
    Ok((&host_port[..at], Some(port)))
}

fn check_host(scheme: Scheme, host: &str, allow_insecure: bool) -> Result<(), InvalidUrl> {
    if scheme == Scheme::File {
        return if host.is_empty() { Ok(()) } else { Err(InvalidUrl::Malformed("file:// takes no host")) };
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty()
        || host.starts_with('-')
        || !bare.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c))
    {
        return Err(InvalidUrl::Malformed("its host is no host name"));
    }
    if !allow_insecure && is_local(bare) {
        return Err(InvalidUrl::LocalAddress(host.to_owned()));
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
    use std::net::IpAddr;
    match host.parse::<IpAddr>() {
        Ok(address) => super::hosts::is_local(address),
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            // What a resolver takes for an IPv4 address in another notation, such as `2130706433` or `0x7f.1`.
            let numeric = name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
            name == "localhost" || name.ends_with(".localhost") || numeric
        }
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let ok = |url: &str| RepoUrl::parse(url, false).map(|url| url.normalized());
        assert_eq!(ok("https://Git.Example.com:443/team/repo.git"), Ok("git.example.com/team/repo".into()));
        assert_eq!(ok("https://git.example.com:8443/r/"), Ok("git.example.com:8443/r".into()));
        let table = [
            ("http://example.com/r", InvalidUrl::Insecure("http")),
            ("file:///tmp/r", InvalidUrl::Insecure("file")),
            ("ftp://example.com/r", InvalidUrl::Scheme),
            (
                "ext::sh -c x",
                InvalidUrl::Malformed("it must have at most 2000 characters, without spaces and control characters"),
            ),
            ("--upload-pack=x", InvalidUrl::Scheme),
            ("https://a:b@example.com/r", InvalidUrl::UserInfo),
            ("https://token@example.com/r", InvalidUrl::UserInfo),
            ("https://example.com", InvalidUrl::Malformed("it names no repository after the host")),
            ("https://-x/r", InvalidUrl::Malformed("its host is no host name")),
            ("https://example.com:99999/r", InvalidUrl::Malformed("its port is no number from 0 to 65535")),
        ];
        for (url, expected) in table {
            assert_eq!(ok(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn local_addresses_need_consent() {
        for host in [
            "localhost",
            "x.localhost",
            "127.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
        ] {
            let url = format!("https://{host}/r");
            assert!(matches!(RepoUrl::parse(&url, false), Err(InvalidUrl::LocalAddress(_))), "{url}");
            assert!(RepoUrl::parse(&url, true).is_ok(), "{url}");
        }
    }
}
