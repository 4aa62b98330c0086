//! Why an object could not be turned into a manifest.

/// Why the JSON of an object could not be read, or its manifest not be written.
///
/// It does not know the object's name: whoever asked for the manifest adds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SanitizeError {
    /// The text is no JSON; `offset` is the byte at which it stops being so.
    #[error("the object is not valid JSON at byte {offset}: look at the server that serves this type")]
    NotJson {
        /// Offset in bytes from the start of the text.
        offset: usize,
    },
    /// The text is JSON, but an array or a scalar.
    #[error("the object is JSON, but not a JSON object: look at the server that serves this type")]
    NotAnObject,
    /// Objects and arrays are nested deeper than a manifest may be.
    #[error("the object is nested deeper than {limit} levels: exclude it from the rules")]
    TooDeep {
        /// How many levels are accepted.
        limit: usize,
    },
    /// The JSON, or the YAML made of it, is larger than the API server would store.
    #[error("the object takes more than {limit} bytes: exclude it from the rules")]
    TooLarge {
        /// How many bytes are accepted.
        limit: usize,
    },
    /// One JSON object has the same key twice, so what it means depends on the reader.
    #[error("the object has the key {key:?} twice in one place: look at the server that serves this type")]
    DuplicateKey {
        /// The key, at most 80 characters of it.
        key: String,
    },
}
