//! Text that is never shown.

use std::fmt;

/// A password, token or private key. It has no `Display`, and `Debug` does not show it.
///
/// ```compile_fail
/// println!("{}", gitops_reverser::git::credentials::Hidden::new("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever hands it to git or to the API of a host.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
