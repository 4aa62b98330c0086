//! Secrets in what git and servers say: a server may repeat what it was sent.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";
/// A text that is shorter is no secret, and may be part of any word.
const SHORTEST: usize = 4;
/// A user name that is shorter is no token.
const SHORTEST_NAME: usize = 20;

/// The secrets of one command, in every form in which they are sent.
#[derive(Default)]
pub(super) struct Redaction(Vec<String>);

impl Redaction {
    /// Adds a password or token.
    pub(super) fn add(&mut self, secret: &str) {
        if secret.chars().count() < SHORTEST {
            return;
        }
        let encoded = BASE64_STANDARD.encode(secret);
        self.0.extend([secret.to_owned(), percent_encode(secret), encoded.trim_end_matches('=').to_owned()]);
        // The longest first: one may hold another.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Adds what is sent for a user name and a password.
    pub(super) fn add_login(&mut self, username: &str, password: &str) {
        if username.chars().count() >= SHORTEST_NAME {
            self.add(username);
        }
        self.add(password);
        self.add(&format!("{username}:{password}"));
    }

    /// `text` without secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redaction(hidden)")
    }
}

/// Everything but what stands for itself in any part of a URL, as `%` and two digits.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_goes() {
        let mut redaction = Redaction::default();
        redaction.add_login("git", "p/w+d");
        redaction.add_login("ghp_0123456789abcdefghij", "x-oauth-basic");
        redaction.add("tok");
        let table = [
            ("git said p/w+d", "git said (hidden)"),
            ("http://git:p%2Fw%2Bd@h", "http://git:(hidden)@h"),
            ("Basic Z2l0OnAvdytk", "Basic (hidden)"),
            ("cC93K2Q= is base64", "(hidden)= is base64"),
            ("user ghp_0123456789abcdefghij", "user (hidden)"),
            ("too short: tok", "too short: tok"),
        ];
        for (text, expected) in table {
            assert_eq!(redaction.redact(text), expected);
        }
    }
}
