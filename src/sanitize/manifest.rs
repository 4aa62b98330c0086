//! The file that an object becomes.

use crate::resource::Oid;
use crate::resource::oid::ObjectFormat;
use std::fmt;
use std::sync::Arc;

/// Sanitized YAML, and the id that it has as a blob in Git. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    bytes: Arc<[u8]>,
    oid: Oid,
}

impl Manifest {
    /// The manifest that consists of `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let oid = Oid::of_blob(ObjectFormat::Sha1, &bytes);
        Self { bytes: Arc::from(bytes), oid }
    }

    /// The content of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The blob id of the bytes in a SHA-1 repository. Manifests with one id are equal.
    #[must_use]
    pub fn oid(&self) -> Oid {
        self.oid
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes; that of an object always has some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Without the bytes, which may be secret.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("oid", &self.oid).field("len", &self.len()).finish()
    }
}
