//! Globs in which `*` stands for any run of characters.

/// Whether `pattern` matches the whole of `text`. No character but `*` is special, and `*` matches any character.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|prefix| text.strip_prefix(prefix)) else { return false };
    let Some(suffix) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(suffix)
}
