//! Private keys of SSH. Those that a passphrase locks are opened in process: ssh would have to be handed the passphrase
//! through a program, and the directory that secrets are in need not be one that programs may run from.
//!
//! The format is that of OpenSSH (`PROTOCOL.key` in its sources). Older ones are left to ssh, which reads them as long
//! as they are not locked.

use aes::cipher::{BlockModeDecrypt, KeyIvInit, StreamCipher, block_padding::NoPadding};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;

/// What the container of a key starts with.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The lines around it.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// More would keep us busy for minutes; ssh-keygen takes 16 or 24 rounds.
const MOST_ROUNDS: u32 = 1_000;

/// A private key that cannot be used, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is something else.
    #[error("it is no private key in PEM; store the whole file that ssh-keygen wrote, first and last line included")]
    NotAKey,
    /// It is the other half.
    #[error("it is the public half of a key; store the private one, and give the public one to the host")]
    Public,
    /// A format that ssh does not read.
    #[error("it is in PuTTY's format; export it as an OpenSSH key")]
    Putty,
    /// Its content is not what its first line says.
    #[error("it is damaged; store the whole file again, first and last line included")]
    Damaged,
    /// There is no passphrase for it.
    #[error("a passphrase locks it; add that to the Secret under the key password")]
    Locked,
    /// The passphrase does not open it.
    #[error("the passphrase under the key password does not open it")]
    WrongPassphrase,
    /// It is locked in a way that is not supported.
    #[error("it is locked in a format that is not supported; lock it anew with ssh-keygen -p -f <file>")]
    Lock,
}

/// A private key that ssh can read without asking anybody.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenKey {
    /// The file.
    pem: String,
    /// What the file holds, if it is in OpenSSH's format.
    content: Option<Content>,
}

/// What a file in OpenSSH's format holds.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    /// The public key in its wire format.
    public: Vec<u8>,
    /// Type, public and private numbers, comment, padding; all in their wire format.
    private: Vec<u8>,
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenKey(hidden)")
    }
}

impl OpenKey {
    /// Reads a key as a Secret holds it, which may have other line ends than ssh wants, and opens it with `passphrase`
    /// if it is locked.
    ///
    /// # Errors
    /// Says what is wrong with it, never repeating any of it.
    pub fn read(text: &str, passphrase: Option<&str>) -> Result<Self, BadKey> {
        let pem: String = text.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
        if !pem.starts_with("-----BEGIN ") {
            let is_public = ["ssh-", "ecdsa-", "sk-", "-----BEGIN PUBLIC", "---- BEGIN SSH2 PUBLIC"];
            let is_public = is_public.iter().any(|start| pem.starts_with(start));
            let is_putty = pem.starts_with("PuTTY-User-Key-File");
            return Err(if is_public {
                BadKey::Public
            } else if is_putty {
                BadKey::Putty
            } else {
                BadKey::NotAKey
            });
        }
        let Some(body) = pem.strip_prefix(BEGIN) else { return Self::foreign(pem) };
        let body = body.trim_end().strip_suffix(END).ok_or(BadKey::Damaged)?;
        let body: String = body.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(body).map_err(|_| BadKey::Damaged)?;
        let content = open(&bytes, passphrase)?;
        Ok(Self { pem: content.to_pem(), content: Some(content) })
    }

    /// The file for ssh, unlocked. For whoever hands it over.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.pem
    }

    /// A key in a format that we do not look into.
    fn foreign(pem: String) -> Result<Self, BadKey> {
        let first = pem.lines().next().unwrap_or_default();
        if first.contains("PUBLIC KEY") {
            return Err(BadKey::Public);
        }
        if !first.ends_with(" PRIVATE KEY-----") || !pem.trim_end().ends_with(" PRIVATE KEY-----") {
            return Err(if first.contains("PRIVATE KEY") { BadKey::Damaged } else { BadKey::NotAKey });
        }
        if first.contains("ENCRYPTED") || pem.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(BadKey::Lock);
        }
        Ok(Self { pem, content: None })
    }
}

impl Content {
    /// The file of this key, unlocked.
    fn to_pem(&self) -> String {
        let mut bytes = MAGIC.to_vec();
        for text in ["none", "none", ""] {
            put_string(&mut bytes, text.as_bytes());
        }
        bytes.extend_from_slice(&1_u32.to_be_bytes());
        put_string(&mut bytes, &self.public);
        put_string(&mut bytes, &self.private);
        let encoded = BASE64_STANDARD.encode(bytes);
        let mut pem = format!("{BEGIN}\n");
        for line in encoded.as_bytes().chunks(70) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem + END + "\n"
    }
}

fn open(bytes: &[u8], passphrase: Option<&str>) -> Result<Content, BadKey> {
    let mut wire = Wire(bytes.strip_prefix(MAGIC).ok_or(BadKey::Damaged)?);
    let mut parts = || {
        let (cipher, kdf, options) = (wire.string()?, wire.string()?, wire.string()?);
        let (keys, public, private) = (wire.u32()?, wire.string()?, wire.string()?);
        Some((cipher, kdf, options, keys, public, private))
    };
    let (cipher, kdf, options, keys, public, private) = parts().ok_or(BadKey::Damaged)?;
    if keys != 1 {
        return Err(BadKey::Damaged);
    }
    let private = match kdf {
        b"none" => private.to_vec(),
        b"bcrypt" => {
            let passphrase = passphrase.filter(|text| !text.is_empty()).ok_or(BadKey::Locked)?;
            unlock(cipher, options, private, passphrase)?
        }
        _ => return Err(BadKey::Lock),
    };
    let mut check = Wire(&private);
    match (check.u32(), check.u32()) {
        (Some(first), Some(second)) if first == second => Ok(Content { public: public.to_vec(), private }),
        // With the right key the two numbers at the beginning are equal.
        _ if kdf == b"bcrypt" => Err(BadKey::WrongPassphrase),
        _ => Err(BadKey::Damaged),
    }
}

fn unlock(cipher: &[u8], options: &[u8], private: &[u8], passphrase: &str) -> Result<Vec<u8>, BadKey> {
    let mut options = Wire(options);
    let (salt, rounds) = options.string().zip(options.u32()).ok_or(BadKey::Damaged)?;
    let key_length = match cipher {
        b"aes256-ctr" | b"aes256-cbc" => 32,
        b"aes192-ctr" | b"aes192-cbc" => 24,
        b"aes128-ctr" | b"aes128-cbc" => 16,
        _ => return Err(BadKey::Lock),
    };
    if rounds > MOST_ROUNDS {
        return Err(BadKey::Lock);
    }
    let mut derived = vec![0; key_length + 16];
    bcrypt_pbkdf::bcrypt_pbkdf(passphrase, salt, rounds, &mut derived).map_err(|_| BadKey::Damaged)?;
    let (key, iv) = derived.split_at(key_length);
    let mut data = private.to_vec();
    let decrypted = match cipher {
        b"aes256-ctr" => counter::<ctr::Ctr128BE<aes::Aes256>>(key, iv, &mut data),
        b"aes192-ctr" => counter::<ctr::Ctr128BE<aes::Aes192>>(key, iv, &mut data),
        b"aes128-ctr" => counter::<ctr::Ctr128BE<aes::Aes128>>(key, iv, &mut data),
        b"aes256-cbc" => chained::<cbc::Decryptor<aes::Aes256>>(key, iv, &mut data),
        b"aes192-cbc" => chained::<cbc::Decryptor<aes::Aes192>>(key, iv, &mut data),
        _ => chained::<cbc::Decryptor<aes::Aes128>>(key, iv, &mut data),
    };
    decrypted.ok_or(BadKey::Damaged)?;
    Ok(data)
}

fn counter<C: KeyIvInit + StreamCipher>(key: &[u8], iv: &[u8], data: &mut [u8]) -> Option<()> {
    C::new_from_slices(key, iv).ok()?.try_apply_keystream(data).ok()
}

fn chained<C: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], data: &mut [u8]) -> Option<()> {
    C::new_from_slices(key, iv).ok()?.decrypt_padded::<NoPadding>(data).ok().map(drop)
}

/// Numbers and strings as SSH puts them on the wire: big-endian, strings after their length (RFC 4251, section 5).
pub(super) struct Wire<'a>(pub(super) &'a [u8]);

impl<'a> Wire<'a> {
    /// The next number; `None` at the end.
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// The next string; `None` when there is less left than it is long.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

/// Appends a string.
pub(super) fn put_string(wire: &mut Vec<u8>, string: &[u8]) {
    // A string of ours is far shorter than 4 GiB.
    wire.extend_from_slice(&u32::try_from(string.len()).unwrap_or(u32::MAX).to_be_bytes());
    wire.extend_from_slice(string);
}
