//! Signed commits.
//!
//! fast-import cannot sign before git 2.50, and one process a signature would be slow. So fast-import makes the commits of
//! a batch unsigned, and with them their trees; what it made is read back, signed in process, and given to git as one
//! pack (figures in `clone::signed`).

mod key;
mod modulus;

pub use key::{BadSigningKey, SigningKey};

use crate::resource::Oid;
use crate::resource::oid::ObjectFormat;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::Digest as _;
use std::io::Write as _;

/// A commit object and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitObject {
    /// The id.
    pub id: Oid,
    /// The object without git's header.
    pub content: Vec<u8>,
}

/// Signs a chain of commits, oldest first, each but the first on top of the one before. Their ids change, and so do the
/// parents of all but the first. `None` if one is no commit object.
#[must_use]
pub fn sign(commits: &[CommitObject], key: &SigningKey, format: ObjectFormat) -> Option<Vec<CommitObject>> {
    let mut signed: Vec<CommitObject> = Vec::with_capacity(commits.len());
    for (number, commit) in commits.iter().enumerate() {
        let parent = number.checked_sub(1).map(|before| (commits[before].id, signed[before].id));
        let content = sign_one(&commit.content, parent, key, format)?;
        signed.push(CommitObject { id: Oid::of_object(format, "commit", &content), content });
    }
    Some(signed)
}

/// `object` with the signature in its header; `parent` is what the parent was and what it is now.
fn sign_one(object: &[u8], parent: Option<(Oid, Oid)>, key: &SigningKey, format: ObjectFormat) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(object).ok()?;
    let (headers, message) = text.split_once("\n\n")?;
    let mut header = String::with_capacity(headers.len() + 512);
    for line in headers.lines() {
        match parent {
            Some((was, is)) if line.strip_prefix("parent ") == Some(&was.to_string()) => {
                header.push_str(&format!("parent {is}\n"));
            }
            _ => header.push_str(&format!("{line}\n")),
        }
    }
    let signature = key.sign(format!("{header}\n{message}").as_bytes())?;
    let name = match format {
        ObjectFormat::Sha1 => "gpgsig",
        ObjectFormat::Sha256 => "gpgsig-sha256",
    };
    // The lines of one header begin with a space from the second on.
    let signature = signature.trim_end().replace('\n', "\n ");
    Some(format!("{header}{name} {signature}\n\n{message}").into_bytes())
}

/// A pack of `commits`: header, each object's type and size and its compressed content, a hash of it all.
///
/// # Errors
/// Never, as it is written to memory.
pub fn pack(commits: &[CommitObject], format: ObjectFormat) -> std::io::Result<Vec<u8>> {
    let mut pack = b"PACK".to_vec();
    pack.extend_from_slice(&2_u32.to_be_bytes());
    let count = u32::try_from(commits.len()).map_err(std::io::Error::other)?;
    pack.extend_from_slice(&count.to_be_bytes());
    for commit in commits {
        object_header(&mut pack, commit.content.len());
        let mut encoder = ZlibEncoder::new(pack, Compression::fast());
        encoder.write_all(&commit.content)?;
        pack = encoder.finish()?;
    }
    match format {
        ObjectFormat::Sha1 => pack.extend_from_slice(&sha1::Sha1::digest(&pack)),
        ObjectFormat::Sha256 => pack.extend_from_slice(&sha2::Sha256::digest(&pack)),
    }
    Ok(pack)
}

/// The type, 1 for a commit, in bits 4 to 6 of the first byte; the size in what is left, lowest bits first, 7 in each
/// further byte; the highest bit says that another byte follows.
fn object_header(pack: &mut Vec<u8>, size: usize) {
    const COMMIT: u8 = 1 << 4;
    const MORE: u8 = 0x80;
    let mut byte = COMMIT | (size & 0x0f) as u8;
    let mut rest = size >> 4;
    while rest > 0 {
        pack.push(byte | MORE);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    pack.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_signed_in_order_and_keeps_everything_else() {
        use crate::git::credentials::OpenKey;
        let key = SigningKey::new(&OpenKey::of_seed(&[7; 32])).unwrap();
        for (format, name) in [(ObjectFormat::Sha1, "gpgsig"), (ObjectFormat::Sha256, "gpgsig-sha256")] {
            let mk = |parent: Oid, message: &str| {
                let content =
                    format!("tree {parent}\nparent {parent}\nauthor a <b> 1 +0000\n\n{message}parent {parent}\n");
                CommitObject { id: Oid::of_object(format, "commit", content.as_bytes()), content: content.into_bytes() }
            };
            let tip = Oid::of_blob(format, b"tip");
            let first = mk(tip, "one\n\n");
            let second = mk(first.id, "two\n\n");
            let signed = sign(&[first.clone(), second.clone()], &key, format).unwrap();
            let text = |commit: &CommitObject| String::from_utf8(commit.content.clone()).unwrap();
            let unsigned = |commit: &CommitObject| {
                let text = text(commit);
                let (at, end) =
                    (text.find(&format!("\n{name} -----BEGIN SSH")).unwrap(), " -----END SSH SIGNATURE-----");
                format!("{}{}", &text[..at], &text[text.find(end).unwrap() + end.len()..])
            };
            assert_eq!(unsigned(&signed[0]), text(&first));
            // Only the header's parent is another; the tree and the message, which name it too, are as they were.
            let parent = |id: Oid| format!("\nparent {id}\nauthor");
            assert_eq!(unsigned(&signed[1]), text(&second).replace(&parent(first.id), &parent(signed[0].id)));
            assert_eq!(signed[1].id, Oid::of_object(format, "commit", &signed[1].content));
            assert!(
                text(&signed[0]).lines().skip_while(|line| !line.starts_with(name)).nth(1).unwrap().starts_with(' ')
            );
        }
        let broken = CommitObject { id: Oid::of_blob(ObjectFormat::Sha1, b""), content: b"no commit".to_vec() };
        assert_eq!(sign(&[broken], &key, ObjectFormat::Sha1), None);
    }

    #[test]
    fn sizes_are_written_as_packs_have_them() {
        for (size, expected) in [
            (0, vec![0x10]),
            (15, vec![0x1f]),
            (16, vec![0x90, 1]),
            (300, vec![0x9c, 18]),
            (4_000, vec![0x90, 0xfa, 1]),
        ] {
            let mut header = Vec::new();
            object_header(&mut header, size);
            assert_eq!(header, expected, "{size}");
        }
    }
}
