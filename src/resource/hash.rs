//! The fingerprint by which an admission request and a watch event are recognised as the same content.

/// 128 bits of a SHA-256 over an object's canonical content.
///
/// Two sides compute it independently (the webhook from the admission request, the watch from the
/// event), so it says nothing about key order or white space. It is never written anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);
