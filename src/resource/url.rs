//! Repository addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The address of a repository, without credentials.
///
/// `Display` and `Debug` show it whole: a URL that carries a password, or over HTTP a user name, is refused, never stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoUrl {
    text: String,
    scheme: Scheme,
    user: Option<String>,
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
    /// SSH, as `ssh://user@host/path` or `user@host:path`.
    Ssh,
    /// A repository on this machine; only where insecure transports are allowed.
    File,
}

/// A repository address that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUrl {
    /// It is in no form that is understood.
    #[error("the URL has no supported form; write it as https://host/path, ssh://user@host/path or user@host:path")]
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
    /// A password in an SSH address, where git would not use it either.
    #[error("the URL carries a password; over SSH, put a private key into the Secret of spec.secretRef")]
    Password,
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
        let (scheme, authority, path) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                // Git decodes this before it looks at it.
                (parse_scheme(scheme, allow_insecure)?, authority, decode(path)?)
            }
            None => {
                let (authority, path) = split_scp(text)?;
                (Scheme::Ssh, authority, path.to_owned())
            }
        };
        let (user, host_port) = split_user(scheme, authority)?;
        let (host, port) = split_port(host_port)?;
        check_host(scheme, host, allow_insecure)?;
        check_path(scheme, &path)?;
        Ok(Self {
            text: text.to_owned(),
            scheme,
            user: user.map(str::to_owned),
            host: host.to_ascii_lowercase(),
            port,
            path,
        })
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

    /// The user that SSH logs in as, if the address names one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Lower-case host name, in brackets if it is an IPv6 address; empty for `file`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if the address names one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
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
            Scheme::Ssh => 22,
            Scheme::File => 0,
        })
    }

    /// Path of the repository, decoded, without surrounding slashes and without `.git`.
    #[must_use]
    pub fn repository(&self) -> &str {
        let path = self.path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }

    /// `host[:port]/path`: equal for two spellings of one address.
    ///
    /// On the public hosts, and on nearly every other, one repository has one path, whether it is reached over HTTPS or
    /// SSH and as whatever user. Two targets that write one folder through two addresses would overwrite each other for
    /// ever; two that are taken for one although they are not only cost a condition that says so. So scheme and user do
    /// not count, nor does SSH's port, which says nothing about the port of the same host's HTTPS. Not known to be equal
    /// are other names of one host, and hosts where the paths differ (`ssh.dev.azure.com:v3/...`).
    #[must_use]
    pub fn normalized(&self) -> String {
        let port = match (self.scheme, self.port) {
            (Scheme::Ssh | Scheme::File, _) | (Scheme::Https, Some(443)) | (Scheme::Http, Some(80)) => None,
            (_, port) => port,
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}/{}", self.host, self.repository())
    }
}

fn parse_scheme(scheme: &str, allow_insecure: bool) -> Result<Scheme, InvalidUrl> {
    match scheme {
        "https" => Ok(Scheme::Https),
        "ssh" => Ok(Scheme::Ssh),
        "http" if allow_insecure => Ok(Scheme::Http),
        "file" if allow_insecure => Ok(Scheme::File),
        "http" => Err(InvalidUrl::Insecure("http")),
        "file" => Err(InvalidUrl::Insecure("file")),
        _ => Err(InvalidUrl::Scheme),
    }
}

/// `[user@]host:path`, where the host may be an IPv6 address in brackets. It has no port: what follows the colon is a path.
fn split_scp(text: &str) -> Result<(&str, &str), InvalidUrl> {
    let host_at = text.find('[').filter(|at| *at == 0 || text[..*at].ends_with('@'));
    let colon = match host_at {
        Some(at) => {
            let end = text[at..].find(']').map(|end| at + end).ok_or(InvalidUrl::Scheme)?;
            // Git takes `[host:port]:path` too, and would connect elsewhere than what we checked.
            if text[at + 1..end].parse::<Ipv6Addr>().is_err() {
                return Err(InvalidUrl::Malformed("brackets hold something else than an IPv6 address"));
            }
            Some(end + 1).filter(|colon| text[*colon..].starts_with(':'))
        }
        None => text.find(':'),
    };
    let colon = colon.filter(|colon| !text[..*colon].contains('/')).ok_or(InvalidUrl::Scheme)?;
    let (authority, path) = (&text[..colon], &text[colon + 1..]);
    // `name::address` starts a program of that name.
    if path.starts_with(':') { Err(InvalidUrl::Scheme) } else { Ok((authority, path)) }
}

fn split_user(scheme: Scheme, authority: &str) -> Result<(Option<&str>, &str), InvalidUrl> {
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if scheme != Scheme::Ssh {
        return Err(InvalidUrl::UserInfo);
    }
    if user.contains(':') {
        return Err(InvalidUrl::Password);
    }
    let is_name = !user.is_empty() && user.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    if is_name && !user.starts_with('-') {
        Ok((Some(user), host))
    } else {
        Err(InvalidUrl::Malformed("its user name has other characters than letters, digits and . _ - +"))
    }
}

fn split_port(host_port: &str) -> Result<(&str, Option<u16>), InvalidUrl> {
    let at = host_port.rfind(':').filter(|at| !host_port[*at..].contains(']'));
    let Some(at) = at else { return Ok((host_port, None)) };
    let port =
        host_port[at + 1..].parse().map_err(|_| InvalidUrl::Malformed("its port is no number from 0 to 65535"))?;
    Ok((&host_port[..at], Some(port)))
}

/// Decodes `%41` to `A`.
fn decode(path: &str) -> Result<String, InvalidUrl> {
    const MALFORMED: InvalidUrl = InvalidUrl::Malformed("its path has a % that two hexadecimal digits do not follow");
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'%' {
            bytes.push(*byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or(MALFORMED)?;
        let digits = std::str::from_utf8(digits).map_err(|_| MALFORMED)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| MALFORMED)?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| InvalidUrl::Malformed("its path is not UTF-8"))
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

/// `path` is decoded. Over SSH it is part of a command line on the server, where git quotes it; what only a shell would
/// understand is refused all the same.
fn check_path(scheme: Scheme, path: &str) -> Result<(), InvalidUrl> {
    let inner = path.trim_matches('/');
    if inner.is_empty() {
        return Err(InvalidUrl::Malformed("it names no repository after the host"));
    }
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(InvalidUrl::Malformed("its path has an empty part, or . or .."));
    }
    if path.chars().any(char::is_control) {
        return Err(InvalidUrl::Malformed("its path has control characters"));
    }
    let is_odd = |c: char| "'\"`$;&|<>(){}*?!#\\".contains(c);
    if scheme == Scheme::Ssh && (path.starts_with('-') || path.starts_with("/-") || path.contains(is_odd)) {
        return Err(InvalidUrl::Malformed("its path starts with - or has characters that mean something to a shell"));
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
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

    fn normalized(url: &str) -> Result<String, InvalidUrl> {
        RepoUrl::parse(url, false).map(|url| url.normalized())
    }

    #[test]
    fn two_spellings_of_one_address_are_equal() {
        let table = [
            ("https://Git.Example.com:443/team/repo.git", "git.example.com/team/repo"),
            ("https://git.example.com:8443/r/", "git.example.com:8443/r"),
            ("https://git.example.com/a%2Db", "git.example.com/a-b"),
            ("ssh://git@git.example.com/team/repo.git", "git.example.com/team/repo"),
            ("ssh://Git.example.com:22/team/repo", "git.example.com/team/repo"),
            ("ssh://git@git.example.com:2222/team/repo.git/", "git.example.com/team/repo"),
            ("git@git.example.com:team/repo.git", "git.example.com/team/repo"),
            ("git.example.com:/team/repo", "git.example.com/team/repo"),
            ("git@ssh.dev.azure.com:v3/org/project/repo", "ssh.dev.azure.com/v3/org/project/repo"),
            ("ssh://git@[2001:db8::1]:2222/r", "[2001:db8::1]/r"),
            ("git@[2001:db8::1]:r", "[2001:db8::1]/r"),
            ("git@git.example.com:~bot/repo", "git.example.com/~bot/repo"),
            ("host:22/repo", "host/22/repo"),
        ];
        for (url, expected) in table {
            assert_eq!(normalized(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn parts_are_at_hand() {
        let url = RepoUrl::parse("ssh://deploy.bot@Git.example.com:2222/team/repo.git", false).unwrap();
        assert_eq!(
            (url.scheme(), url.user(), url.host(), url.port()),
            (Scheme::Ssh, Some("deploy.bot"), "git.example.com", Some(2222))
        );
        assert_eq!((url.authority().as_str(), url.repository()), ("git.example.com:2222", "team/repo"));
        let url = RepoUrl::parse("git.example.com:repo", false).unwrap();
        assert_eq!(
            (url.scheme(), url.user(), url.port(), url.as_str()),
            (Scheme::Ssh, None, None, "git.example.com:repo")
        );
    }

    #[test]
    fn addresses_are_judged() {
        use InvalidUrl::{Insecure, Malformed, Password, Scheme as NoForm, UserInfo};
        let host = Malformed("its host is no host name");
        let user = Malformed("its user name has other characters than letters, digits and . _ - +");
        let dots = Malformed("its path has an empty part, or . or ..");
        let shell = Malformed("its path starts with - or has characters that mean something to a shell");
        let spaces = Malformed("it must have at most 2000 characters, without spaces and control characters");
        let percent = Malformed("its path has a % that two hexadecimal digits do not follow");
        let nothing = Malformed("it names no repository after the host");
        let table: [(&str, &InvalidUrl); 48] = [
            ("http://example.com/r", &Insecure("http")),
            ("file:///tmp/r", &Insecure("file")),
            ("ftp://example.com/r", &NoForm),
            ("git+ssh://example.com/r", &NoForm),
            ("ext::sh -c x", &spaces),
            ("ext::sh", &NoForm),
            ("git@ext::sh", &NoForm),
            ("--upload-pack=x", &NoForm),
            ("/some/where", &NoForm),
            ("./a:b", &NoForm),
            ("example.com", &NoForm),
            ("git@[::1", &NoForm),
            ("git@[2001:db8::1]", &NoForm),
            ("git@[2001:db8::1]x:r", &NoForm),
            ("git@[example.com:2222]:r", &Malformed("brackets hold something else than an IPv6 address")),
            ("[-oProxyCommand=x]:r", &Malformed("brackets hold something else than an IPv6 address")),
            ("https://a:b@example.com/r", &UserInfo),
            ("https://token@example.com/r", &UserInfo),
            ("ssh://git:secret@example.com/r", &Password),
            ("ssh://git:@example.com/r", &Password),
            ("https://example.com", &nothing),
            ("ssh://git@example.com/", &nothing),
            ("git@example.com:", &nothing),
            ("https://-x/r", &host),
            ("ssh://-oProxyCommand=touch/r", &host),
            ("ssh://git@-oProxyCommand=touch/r", &host),
            ("ssh://%2doProxyCommand=touch/r", &host),
            ("-oProxyCommand=touch:r", &host),
            ("git@-F:r", &host),
            ("ssh:///r", &host),
            ("git@:r", &host),
            ("ssh://-oProxyCommand=touch@example.com/r", &user),
            ("-l@example.com:r", &user),
            ("ssh://@example.com/r", &user),
            ("ssh://a@b@example.com/r", &user),
            ("$(id)@example.com:r", &user),
            ("ssh://a%40b@example.com/r", &user),
            ("https://example.com:99999/r", &Malformed("its port is no number from 0 to 65535")),
            ("ssh://example.com:-1/r", &Malformed("its port is no number from 0 to 65535")),
            ("https://example.com/a/../b", &dots),
            ("https://example.com/a//b", &dots),
            ("ssh://example.com/a/%2e%2e/b", &dots),
            ("git@example.com:-x", &shell),
            ("ssh://example.com/-x", &shell),
            ("ssh://example.com/a%27;id", &shell),
            ("git@example.com:a$(id)", &shell),
            ("https://example.com/a%2", &percent),
            ("ssh://example.com/a%0ab", &Malformed("its path has control characters")),
        ];
        for (url, expected) in table {
            assert_eq!(normalized(url).as_ref().unwrap_err(), expected, "{url}");
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
            for url in [format!("https://{host}/r"), format!("ssh://git@{host}/r"), format!("git@{host}:r")] {
                assert!(matches!(RepoUrl::parse(&url, false), Err(InvalidUrl::LocalAddress(_))), "{url}");
                assert!(RepoUrl::parse(&url, true).is_ok(), "{url}");
            }
        }
    }
}
