//! How the people who made changes are called in Git: by a mapping file, else by a name that is nobody else's.

use super::message::{plain, user_name};
use super::spec::Identity;
use crate::attribution::{User, Verdict};
use crate::resource::{glob, hex};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The domain of addresses that we make up: nobody can own one.
const NOBODYS_DOMAIN: &str = "users.noreply.invalid";
/// The user names of service accounts begin so; then come namespace and name.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// Stands for the user name where a mapping gives an address.
const USER: &str = "{user}";
/// The longest address, and the longest part of one that is made of a user name, in bytes.
const LONGEST_ADDRESS: usize = 254;
const LONGEST_SLUG: usize = 48;
/// How many hexadecimal digits tell two users apart whose names look the same in an address.
const DIGITS: usize = 8;

/// Why a mapping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The file cannot be read.
    #[error("the author mapping {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no mapping.
    #[error("the author mapping {} cannot be used: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// The file: `authors: [{user: alice, name: Alice Liddell, email: alice@example.com}]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Mapping {
    authors: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// A user name; `*` stands for any text.
    user: String,
    /// The name in Git; by default that of the user.
    name: Option<String>,
    /// The address in Git; `{user}` stands for the user name, where that is an address.
    email: Option<String>,
}

impl Mapping {
    fn parse(text: &str) -> Result<Self, String> {
        let mapping: Self = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        for entry in &mapping.authors {
            let of = |what: &str| format!("the {what} of user {:?}", entry.user);
            if entry.user.is_empty() {
                return Err("a user is empty".to_owned());
            }
            if entry.name.is_none() && entry.email.is_none() {
                return Err(format!("user {:?} has neither name nor email", entry.user));
            }
            if entry.email.as_ref().is_some_and(|email| email != USER && !is_address(email)) {
                return Err(format!("{} is neither an address nor {USER}", of("email")));
            }
            if entry.name.as_ref().is_some_and(|name| plain(name).is_empty()) {
                return Err(format!("{} is empty", of("name")));
            }
        }
        Ok(mapping)
    }

    /// The entry for `user`: one that names exactly that user, else the first whose pattern fits.
    fn of(&self, user: &str) -> Option<&Entry> {
        let exact = self.authors.iter().find(|entry| entry.user == user);
        exact.or_else(|| self.authors.iter().find(|entry| glob::matches(&entry.user, user)))
    }
}

/// Says how users are called. Shared; what it says changes with the mapping file.
#[derive(Debug, Default)]
pub struct Authors {
    mapping: RwLock<Arc<Mapping>>,
}

impl Authors {
    /// The authors as the file at `path` has them.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, MappingError> {
        Ok(Self { mapping: RwLock::new(Arc::new(load(path)?)) })
    }

    /// Takes over what the file at `path` has become; says whether that is anything new.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it; then nothing has changed.
    pub fn reload(&self, path: &Path) -> Result<bool, MappingError> {
        let found = load(path)?;
        let is_new = *self.mapping() != found;
        *self.mapping.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(is_new)
    }

    fn mapping(&self) -> Arc<Mapping> {
        Arc::clone(&self.mapping.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who stands in a commit as its author, and since when in seconds since 1970, when that is proven.
    #[must_use]
    pub fn of(&self, verdict: &Verdict) -> Option<(Identity, i64)> {
        let author = verdict.author()?;
        Some((self.identity(&author.user), author.at.as_second()))
    }

    fn identity(&self, user: &User) -> Identity {
        let trusted = user.email.as_deref().filter(|email| is_address(email));
        let user = user.name.as_str();
        let mapping = self.mapping();
        let entry = mapping.of(user);
        let name = entry.and_then(|entry| entry.name.as_deref());
        let email = match entry.and_then(|entry| entry.email.as_deref()) {
            Some(USER) => Some(user).filter(|user| is_address(user)),
            other => other,
        };
        Identity {
            name: name.map_or_else(|| user_name(readable(user).as_deref().unwrap_or(user)), plain),
            email: email.or(trusted).map_or_else(|| made_up(user), str::to_owned),
        }
    }
}

fn load(path: &Path) -> Result<Mapping, MappingError> {
    let text = std::fs::read_to_string(path).map_err(|source| MappingError::Read { path: path.to_owned(), source })?;
    Mapping::parse(&text).map_err(|what| MappingError::Invalid { path: path.to_owned(), what })
}

/// `namespace/name` of a service account.
fn readable(user: &str) -> Option<String> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    Some(format!("{namespace}/{name}"))
}

/// An address of `user` that no other user has. What does not survive in an address is told apart by a hash.
fn made_up(user: &str) -> String {
    let text = readable(user).unwrap_or_else(|| user.to_owned());
    let kept =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c.to_ascii_lowercase() } else { '-' };
    let slug: String = text.chars().map(kept).take(LONGEST_SLUG).collect();
    let slug = slug.trim_matches(['.', '-']);
    let slug = if slug.is_empty() { "unknown" } else { slug };
    if slug == user && !ends_like_a_hash(user) {
        return format!("{slug}@{NOBODYS_DOMAIN}");
    }
    let digest = Sha256::digest(user.as_bytes());
    format!("{slug}-{}@{NOBODYS_DOMAIN}", hex(&digest[..DIGITS / 2]))
}

/// Whether somebody else's made-up address could look like this user name.
fn ends_like_a_hash(user: &str) -> bool {
    user.rsplit_once('-').is_some_and(|(_, end)| end.len() == DIGITS && end.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Whether git and people take it for an address.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.contains('@'));
    let domain = parts.is_some_and(|(_, domain)| domain.split('.').all(|label| !label.is_empty()));
    domain && text.len() <= LONGEST_ADDRESS && text.chars().all(|c| c.is_ascii_graphic() && !"<>\"(),:;\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mk_authors(mapping: &str) -> Authors {
        Authors { mapping: RwLock::new(Arc::new(Mapping::parse(mapping).unwrap())) }
    }

    fn mk_user(name: &str, email: Option<&str>) -> User {
        User { name: name.to_owned(), email: email.map(str::to_owned) }
    }

    fn called(authors: &Authors, user: &str) -> String {
        let Identity { name, email } = authors.identity(&mk_user(user, None));
        format!("{name} <{email}>")
    }

    #[test]
    fn who_is_mapped_is_called_so() {
        let authors = mk_authors(
            r#"
authors:
- {user: "system:serviceaccount:flux-system:*", name: Flux, email: flux@example.com}
- {user: "*@example.com", email: "{user}"}
- {user: "oidc:*", name: Somebody, email: "{user}"}
- {user: alice, name: "Alice Liddell", email: alice@example.com}
- {user: "*", name: Any}
- {user: "bob@example.com", name: Bob}
"#,
        );
        for (user, starts, ends) in [
            ("alice", "Alice Liddell <alice@", "example.com>"),
            ("bob@example.com", "Bob <bob-example.com-", "@users.noreply.invalid>"),
            ("carol@example.com", "carol@example.com <carol", "@example.com>"),
            ("carol @example.com", "carol @example.com <carol--example.com-", "@users.noreply.invalid>"),
            ("oidc:dave", "Somebody <oidc-dave-", "@users.noreply.invalid>"),
            ("system:serviceaccount:flux-system:helm-controller", "Flux <flux@", "example.com>"),
            ("erin", "Any <erin", "@users.noreply.invalid>"),
        ] {
            let found = called(&authors, user);
            assert!(found.starts_with(starts) && found.ends_with(ends), "{user}: {found}");
        }
    }

    #[test]
    fn without_a_mapping_names_are_readable_and_addresses_nobodys() {
        let authors = Authors::default();
        assert_eq!(called(&authors, "alice"), "alice <alice@users.noreply.invalid>");
        let account = called(&authors, "system:serviceaccount:shop:deployer");
        assert!(account.starts_with("shop/deployer <shop-deployer-"), "{account}");
        assert!(called(&authors, "\u{202e}").contains(" <unknown-"));
        assert!(!called(&authors, "al\u{200b}ice").starts_with("alice <"));
    }

    #[test]
    fn a_trusted_address_counts_where_the_mapping_has_none() {
        let authors = mk_authors("authors: [{user: alice, email: alice@example.com}, {user: bob, name: Bob}]");
        let email = |name, trusted| authors.identity(&mk_user(name, Some(trusted))).email;
        assert_eq!(email("alice", "a@trusted.example"), "alice@example.com");
        assert_eq!(email("bob", "b@trusted.example"), "b@trusted.example");
        for odd in ["", "b", "b@", "b@x>", "b @x", "a@b@c", "b@x\n"] {
            assert_eq!(email("bob", odd), "bob@users.noreply.invalid", "{odd}");
        }
    }

    #[test]
    fn a_mapping_that_says_nothing_or_something_wrong_is_refused() {
        for text in [
            "",
            "authors: 7",
            "authors: [{user: a}]",
            "authors: [{user: '', name: A}]",
            "authors: [{user: a, name: ''}]",
            "authors: [{user: a, email: 'no address'}]",
            "authors: [{user: a, email: 'x <a@b>'}]",
            "authors: [{user: a, email: '{user}@example.com'}, {user: b, mail: x}]",
            "people: []",
        ] {
            assert!(Mapping::parse(text).is_err(), "{text}");
        }
        assert!(Mapping::parse("authors: []").is_ok());
    }

    #[test]
    fn a_broken_file_keeps_the_last_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authors.yaml");
        assert!(matches!(Authors::read(&path), Err(MappingError::Read { .. })));
        std::fs::write(&path, "authors: [{user: alice, name: Alice}]").unwrap();
        let authors = Authors::read(&path).unwrap();
        std::fs::write(&path, "authors: [{user: alice").unwrap();
        assert!(matches!(authors.reload(&path), Err(MappingError::Invalid { .. })));
        assert_eq!(authors.identity(&mk_user("alice", None)).name, "Alice");
        std::fs::write(&path, "authors: [{user: alice, name: Other}]").unwrap();
        assert_eq!((authors.reload(&path).unwrap(), authors.reload(&path).unwrap()), (true, false));
        assert_eq!(authors.identity(&mk_user("alice", None)).name, "Other");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("*b", "ab", true),
            ("a*b", "ab", true),
            ("aa*aa", "aaa", false),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob::matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn two_users_never_share_a_made_up_address(
            one in "[aAbB./:@ -]{0,4}(-[0-9a-f]{8})?", other in "[aAbB./:@ -]{0,4}(-[0-9a-f]{8})?"
        ) {
            prop_assert_eq!(one == other, made_up(&one) == made_up(&other));
            prop_assert!(is_address(&made_up(&one)));
        }
    }
}
