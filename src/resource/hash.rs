//! The fingerprint by which an admission request and a watch event are recognised as the same content.

/// 128 bits of a SHA-256 over canonical content.
///
/// Two sides compute it independently (the webhook from the admission request, the watch from the
/// event), so it says nothing about key order or white space. It is never written anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);

/// A whole object. Equal fingerprints mean the same object in the same version of its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Its `metadata`, which is the same in every version of its API.
    pub metadata: ContentHash,
    /// Everything else.
    pub rest: ContentHash,
}
