//! Which keys an SSH server may show. There is no question at the first connection: a key is known, or nothing is sent.

use crate::resource::RepoUrl;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The keys that the big public hosts have published: GitHub, GitLab.com, Bitbucket, Azure DevOps, Codeberg.
const PUBLIC_HOSTS: &str = include_str!("public_hosts");

/// The known_hosts file for a connection: the first of the provider's own, the operator's and the shipped that says
/// anything about the server of `url`. They are not mixed, so a key that a provider or an operator names cannot be evaded
/// by one that is only shipped. `None`: nobody has said anything.
#[must_use]
pub(super) fn choose(provider: Option<&str>, operator: Option<&str>, url: &RepoUrl) -> Option<String> {
    let name = name(url);
    let chosen = [provider, operator, Some(PUBLIC_HOSTS)].into_iter().flatten().find(|file| mentions(file, &name))?;
    // Secrets often lack the last line end, or have those of Windows.
    Some(chosen.lines().map(|line| format!("{}\n", line.trim())).collect())
}

/// What the server of `url` is called in a known_hosts file: `host`, or `[host]:port` if the port is not 22.
#[must_use]
pub(super) fn name(url: &RepoUrl) -> String {
    let host = url.host().trim_start_matches('[').trim_end_matches(']');
    match url.port() {
        None | Some(22) => host.to_owned(),
        Some(port) => format!("[{host}]:{port}"),
    }
}

/// Whether `file` has a key for the host called `name`, or an authority for it.
fn mentions(file: &str, name: &str) -> bool {
    file.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let first = fields.next().unwrap_or_default();
        match first {
            "@cert-authority" => fields.next().is_some_and(|hosts| matches(hosts, name)),
            // A key that must not be accepted says nothing about which may.
            "@revoked" => false,
            hosts => !hosts.starts_with('#') && matches(hosts, name),
        }
    })
}

/// Whether the first field of a line stands for `name`: a hashed name, or patterns after commas.
fn matches(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return matches_hash(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if matches_pattern(excluded, name) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern, name),
        }
    }
    found
}

/// `<salt>|<HMAC-SHA1 of the name with that salt>`, both in base64.
fn matches_hash(hashed: &str, name: &str) -> Option<bool> {
    let (salt, expected) = hashed.split_once('|')?;
    let (salt, expected) = (BASE64_STANDARD.decode(salt).ok()?, BASE64_STANDARD.decode(expected).ok()?);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(ring::hmac::sign(&key, name.as_bytes()).as_ref() == expected)
}

/// Whether `pattern`, in which `*` stands for any characters and `?` for one, is `name`; case does not matter.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut in_name) = (0, 0);
    // Where to go on when what follows the last `*` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, in_name));
                at += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&name[in_name]) => {
                at += 1;
                in_name += 1;
            }
            _ => match &mut retry {
                Some((after_star, taken)) => {
                    *taken += 1;
                    (at, in_name) = (*after_star, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest as _;

    fn mk_url(url: &str) -> RepoUrl {
        RepoUrl::parse(url, true).unwrap()
    }

    #[test]
    fn lines_speak_of_hosts_as_ssh_reads_them() {
        let table = [
            ("h.example.com ssh-ed25519 A", "h.example.com", true),
            ("H.example.com ssh-ed25519 A", "h.example.com", true),
            ("other,h.example.com ssh-ed25519 A", "h.example.com", true),
            ("h.example.com ssh-ed25519 A", "[h.example.com]:2222", false),
            ("[h.example.com]:2222 ssh-ed25519 A", "[h.example.com]:2222", true),
            ("[h.example.com]:2222 ssh-ed25519 A", "h.example.com", false),
            ("*.example.com ssh-ed25519 A", "h.example.com", true),
            ("*.example.com,!h.example.com ssh-ed25519 A", "h.example.com", false),
            ("h?.example.com ssh-ed25519 A", "h1.example.com", true),
            ("*e*e.com ssh-ed25519 A", "h.example.com", true),
            ("*e*f.com ssh-ed25519 A", "h.example.com", false),
            ("# h.example.com ssh-ed25519 A", "h.example.com", false),
            ("#h.example.com ssh-ed25519 A", "h.example.com", false),
            ("@cert-authority *.example.com ssh-ed25519 A", "h.example.com", true),
            ("@revoked h.example.com ssh-ed25519 A", "h.example.com", false),
            // As `ssh-keygen -H` hashes it.
            ("|1|S7zIAMbtJ9hGvZ2Jll92jjdl9VY=|eIssbCA+P/ITY3a+rL7nB2hzClA= ssh-ed25519 A", "h.example.com", true),
            ("|1|S7zIAMbtJ9hGvZ2Jll92jjdl9VY=|eIssbCA+P/ITY3a+rL7nB2hzClA= ssh-ed25519 A", "i.example.com", false),
            ("|1|x|y ssh-ed25519 A", "h.example.com", false),
            ("", "h.example.com", false),
        ];
        for (line, name, expected) in table {
            assert_eq!(mentions(&format!("x ssh-rsa B\n{line}\n"), name), expected, "{line} of {name}");
        }
    }

    #[test]
    fn the_first_file_that_speaks_of_the_host_decides() {
        let github = mk_url("git@github.com:team/r");
        let (own, operators) = ("github.com ssh-ed25519 OWN", "github.com ssh-ed25519 OPERATORS\r\nx ssh-rsa X");
        let choose = |own, operators| choose(own, operators, &github);
        assert_eq!(choose(Some(own), Some(operators)).unwrap(), format!("{own}\n"));
        assert_eq!(choose(Some("x ssh-rsa X"), Some(operators)).unwrap(), operators.replace('\r', "") + "\n");
        assert!(choose(Some("x ssh-rsa X"), None).unwrap().contains("github.com ssh-ed25519 AAAA"));
        assert_eq!(super::choose(Some(own), Some(operators), &mk_url("ssh://git@github.com:2222/r")), None);
        assert_eq!(super::choose(None, None, &mk_url("git@git.example.com:r")), None);
    }

    #[test]
    fn a_server_is_called_as_ssh_calls_it() {
        let table = [
            ("git@h:r", "h"),
            ("ssh://h:22/r", "h"),
            ("ssh://h:2222/r", "[h]:2222"),
            ("ssh://[2001:db8::1]:2222/r", "[2001:db8::1]:2222"),
            ("git@[2001:db8::1]:r", "2001:db8::1"),
        ];
        for (url, expected) in table {
            assert_eq!(name(&mk_url(url)), expected, "{url}");
        }
    }

    /// The fingerprints are what the hosts publish in their own documentation.
    #[test]
    fn shipped_keys_are_the_published_ones() {
        let fingerprints: Vec<_> = PUBLIC_HOSTS
            .lines()
            .map(|line| {
                let [host, kind, key] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let digest = sha2::Sha256::digest(BASE64_STANDARD.decode(key).unwrap());
                (host, kind, BASE64_STANDARD.encode(digest).trim_end_matches('=').to_owned())
            })
            .collect();
        let expected = [
            ("github.com", "ssh-ed25519", "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"),
            ("github.com", "ecdsa-sha2-nistp256", "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM"),
            ("github.com", "ssh-rsa", "uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s"),
            ("gitlab.com", "ssh-ed25519", "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8"),
            ("gitlab.com", "ecdsa-sha2-nistp256", "HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw"),
            ("gitlab.com", "ssh-rsa", "ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ"),
            ("bitbucket.org", "ssh-ed25519", "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM"),
            ("bitbucket.org", "ecdsa-sha2-nistp256", "FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0"),
            ("bitbucket.org", "ssh-rsa", "46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E"),
            ("ssh.dev.azure.com", "ssh-rsa", "ohD8VZEXGWo6Ez8GSEJQ9WpafgLFsOfLOtGGQCQo6Og"),
            ("codeberg.org", "ssh-ed25519", "mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g"),
            ("codeberg.org", "ecdsa-sha2-nistp256", "T9FYDEHELhVkulEKKwge5aVhVTbqCW0MIRwAfpARs/E"),
            ("codeberg.org", "ssh-rsa", "6QQmYi4ppFS4/+zSZ5S4IU+4sa6rwvQ4PbhCtPEBekQ"),
        ];
        assert_eq!(fingerprints, expected.map(|(host, kind, print)| (host, kind, print.to_owned())));
    }
}
