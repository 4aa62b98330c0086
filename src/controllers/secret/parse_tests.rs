//! Every shape of a Secret that is understood, and every one that is not.

use super::*;

fn mk_secret(data: &[(&str, &[u8])]) -> Secret {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect();
    Secret { data: Some(data), ..Secret::default() }
}

fn read(data: &[(&str, &[u8])]) -> Result<Credentials, InvalidSecret> {
    credentials(&mk_secret(data), &HostPolicy::default())
}

struct Pair {
    certificate: String,
    key: String,
}

fn mk_pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["someone".to_owned()]).unwrap();
    Pair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// A key as GitHub gives it out, made for this run.
fn mk_app_key() -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"]).arg(&path);
    assert!(keygen.status().unwrap().success());
    std::fs::read_to_string(path).unwrap()
}

/// In a format that is left to ssh.
const SSH: &[u8] = b"-----BEGIN EC PRIVATE KEY-----\nxyz\n-----END EC PRIVATE KEY-----\n";

#[test]
fn user_names_and_passwords_are_read() {
    let login = |username: &str, password: &str| Ok(Credentials::basic(username, password));
    let malformed = |key, problem| Err(InvalidSecret::Malformed { key, problem });
    let control = "has control characters, such as a line break";
    let table: &[(&[(&str, &[u8])], Result<Credentials, InvalidSecret>)] = &[
        (&[("username", b"bot"), ("password", b"p:w")], login("bot", "p:w")),
        (&[("username", b"bot\n"), ("password", b"pw\r\n"), ("other", b"x")], login("bot", "pw")),
        (&[("password", b"pw")], Err(InvalidSecret::NoUsername)),
        (
            &[("username", b"bot"), ("token", b"pw")],
            Err(InvalidSecret::Incomplete { present: "username", missing: "password" }),
        ),
        (&[("username", b"bot"), ("password", b"")], malformed("password", "is empty")),
        (&[("username", b"bot"), ("password", b"\xff")], malformed("password", "is no text in UTF-8")),
        (&[("username", b"a\nhost=evil"), ("password", b"pw")], malformed("username", control)),
        (&[("username", b"a"), ("password", b"p\0w")], malformed("password", control)),
        (&[("username", b"a:b"), ("password", b"pw")], malformed("username", "has a colon, which HTTP cannot carry")),
        (&[], Err(InvalidSecret::Empty)),
        (&[("known_hosts", b"x"), ("token", b"y")], Err(InvalidSecret::Empty)),
    ];
    for (data, expected) in table {
        assert_eq!(read(data), *expected, "{data:?}");
    }
}

#[test]
fn tokens_are_read() {
    let token = read(&[("bearerToken", b"abc.def\n")]).unwrap();
    assert_eq!(token.authentication, Authentication::Bearer(Hidden::new("abc.def")));
    for bad in [b"a b".as_slice(), b"", b"a\r\nHost: evil", "\u{e9}".as_bytes()] {
        assert!(matches!(read(&[("bearerToken", bad)]), Err(InvalidSecret::Malformed { key: "bearerToken", .. })));
    }
}

#[test]
fn ssh_keys_are_read_under_all_their_names() {
    for name in ["identity", "sshPrivateKey", "ssh-privatekey"] {
        let Authentication::Ssh(key) = read(&[(name, SSH)]).unwrap().authentication else { panic!("{name}") };
        assert!(key.private_key.expose().ends_with("END EC PRIVATE KEY-----\n"));
        assert_eq!(key.known_hosts, None);
    }
    let flux = read(&[("identity", SSH), ("identity.pub", b"x"), ("known_hosts", b"h k\n"), ("password", b"pass")]);
    let Authentication::Ssh(key) = flux.unwrap().authentication else { panic!("Flux's Secrets are understood") };
    assert_eq!(key.known_hosts.as_deref(), Some("h k"));
    let garbage = read(&[("identity", b"ssh-ed25519 AAAA")]);
    assert!(matches!(garbage, Err(InvalidSecret::SshKey { key: "identity", problem: BadKey::Public })), "{garbage:?}");
    assert!(read(&[("identity", SSH), ("ssh-privatekey", SSH)]).is_ok());
    let two = read(&[("identity", SSH), ("ssh-privatekey", b"-----BEGIN OTHER PRIVATE KEY-----")]);
    assert_eq!(two, Err(InvalidSecret::Twice("identity", "ssh-privatekey")));
}

#[test]
fn certificates_are_read_and_checked() {
    let (ours, other) = (mk_pair(), mk_pair());
    let pem = |text: &str| text.as_bytes().to_vec();
    let (certificate, key) = (pem(&ours.certificate), pem(&ours.key));
    for name in ["ca.crt", "caFile"] {
        let tls = read(&[(name, &certificate)]).unwrap().tls;
        assert_eq!(tls.authority.as_deref(), Some(ours.certificate.trim_end()));
    }
    let read_pair = read(&[("tls.crt", &certificate), ("tls.key", &key), ("username", b"a"), ("password", b"b")]);
    let both = read_pair.unwrap();
    assert_eq!(both.tls.client.unwrap().key, Hidden::new(ours.key.trim_end()));
    assert!(matches!(both.authentication, Authentication::Basic(_)));

    let other_key = pem(&other.key);
    let broken = pem(&ours.certificate.replace("MII", "MIX"));
    let table: &[(&[(&str, &[u8])], &str)] = &[
        (&[("tls.crt", &certificate)], "it has tls.crt but no key tls.key"),
        (&[("tls.key", &key)], "it has tls.key but no key tls.crt"),
        (&[("tls.crt", &certificate), ("tls.key", &other_key)], "does not belong to the certificate"),
        (&[("tls.crt", &certificate), ("tls.key", b"garbage")], "tls.key holds no private key in PEM"),
        (&[("tls.crt", &key), ("tls.key", &key)], "tls.crt holds no certificate in PEM"),
        (&[("ca.crt", b"garbage")], "ca.crt holds no certificates in PEM"),
        (&[("ca.crt", &key)], "ca.crt holds no certificates in PEM"),
        (&[("caFile", &broken)], "caFile holds no certificates in PEM"),
    ];
    for (data, part) in table {
        let problem = read(data).unwrap_err().to_string();
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn apps_are_read_and_checked() {
    let key = mk_app_key();
    let app = |change: Option<(&'static str, &str)>| {
        let mut data = BTreeMap::from([
            ("githubAppID", "123"),
            ("githubAppInstallationID", "456"),
            ("githubAppPrivateKey", key.as_str()),
        ]);
        data.extend(change);
        let data: Vec<(&str, &[u8])> = data.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
        read(&data)
    };
    assert!(matches!(app(None).unwrap().authentication, Authentication::GithubApp(_)));
    for url in ["https://ghe.example.com/api/v3", "https://ghe.example.com/api/v3/"] {
        assert!(app(Some(("githubAppBaseURL", url))).is_ok(), "{url}");
    }
    let table = [
        (("githubAppID", "12/3"), "neither an app's id nor its client id"),
        (("githubAppInstallationID", "../4"), "is no number"),
        (("githubAppPrivateKey", "garbage"), "no RSA private key"),
        (("githubAppPrivateKey", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"), "no RSA"),
        (("githubAppBaseURL", "http://ghe.example.com"), "--allow-insecure-transports"),
        (("githubAppBaseURL", "https://169.254.169.254"), "link-local"),
        (("githubAppBaseURL", "https://ghe.example.com/?x="), "write it as"),
        (("githubAppBaseURL", "https://a:b@ghe.example.com"), "user name or password"),
        (("username", "a"), "it has username and password and a GitHub App"),
    ];
    for (change, part) in table {
        let problem = app(Some(change)).unwrap_err().to_string();
        assert!(problem.contains(part), "{change:?}: {problem}");
    }
    let lacking = read(&[("githubAppID", b"1"), ("githubAppPrivateKey", key.as_bytes())]).unwrap_err();
    assert_eq!(lacking.to_string(), "it has a GitHub App but no key githubAppInstallationID");
}

#[test]
fn two_ways_at_once_are_a_contradiction() {
    let table: &[(&[(&str, &[u8])], (&str, &str))] = &[
        (&[("username", b"a"), ("password", b"b"), ("bearerToken", b"c")], ("username and password", "bearerToken")),
        (&[("identity", SSH), ("username", b"a"), ("password", b"b")], ("an SSH key", "username and password")),
        (&[("identity", SSH), ("bearerToken", b"b")], ("an SSH key", "bearerToken")),
    ];
    for (data, (one, other)) in table {
        assert_eq!(read(data), Err(InvalidSecret::Contradiction(one, other)));
    }
}

#[test]
fn nothing_of_a_secret_is_in_an_error_or_in_debug() {
    for key in ["username", "password", "bearerToken", "identity", "ca.crt", "githubAppID", "githubAppInstallationID"] {
        let said = format!("{:?}", read(&[(key, b"hunter2 \x01 hunter2")]));
        assert!(!said.contains("hunter2"), "{key}: {said}");
    }
    assert!(!format!("{:?}", read(&[("username", b"hunter2"), ("password", b"hunter2")])).contains("hunter2"));
}
