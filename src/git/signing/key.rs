//! Signatures of SSH keys over commits, as `ssh-keygen -Y sign -n git` makes them (`PROTOCOL.sshsig` in OpenSSH's sources).

use super::modulus::{modulo_less_one, trimmed};
use crate::git::credentials::{OpenKey, Wire, put_string};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA512,
    RsaKeyPair,
};
use std::fmt;
use std::sync::Arc;

/// What signatures over commits are for: one for another purpose proves nothing about a commit.
const NAMESPACE: &[u8] = b"git";
/// The hash of what is signed.
const HASH: &[u8] = b"sha512";

/// A key that cannot sign commits, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// Not in OpenSSH's format.
    #[error("the key is in an old format; convert it with ssh-keygen -p -f <file>")]
    Format,
    /// A type that is not supported, such as that of a hardware key.
    #[error("keys of this type cannot sign here; make one with ssh-keygen -t ed25519")]
    Type,
    /// Its numbers do not fit together.
    #[error("the key is damaged, or too short to be secure; make one with ssh-keygen -t ed25519")]
    Damaged,
}

/// A key that signs commits. Equal keys sign equally; never shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    public: Vec<u8>,
    pair: Arc<Pair>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(&'static [u8], EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

impl SigningKey {
    /// Makes a key sign commits.
    ///
    /// # Errors
    /// Says why it cannot.
    pub fn new(key: &OpenKey) -> Result<Self, BadSigningKey> {
        let (public, private) = key.content().ok_or(BadSigningKey::Format)?;
        let mut wire = Wire(private);
        // Two equal numbers that were compared when the key was opened.
        wire.u32().zip(wire.u32()).ok_or(BadSigningKey::Damaged)?;
        let pair = match wire.string().ok_or(BadSigningKey::Damaged)? {
            b"ssh-ed25519" => ed25519(&mut wire).map(Pair::Ed25519),
            b"ecdsa-sha2-nistp256" => ecdsa(&mut wire, b"ecdsa-sha2-nistp256"),
            b"ecdsa-sha2-nistp384" => ecdsa(&mut wire, b"ecdsa-sha2-nistp384"),
            b"ssh-rsa" => rsa(&mut wire).map(Pair::Rsa),
            _ => return Err(BadSigningKey::Type),
        };
        Ok(Self { public: public.to_vec(), pair: Arc::new(pair.ok_or(BadSigningKey::Damaged)?) })
    }

    /// The signature over `message`, in the lines that `ssh-keygen` would write. `None` if the key's numbers turn out not
    /// to fit together.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Option<String> {
        let digest = ring::digest::digest(&ring::digest::SHA512, message);
        let mut data = b"SSHSIG".to_vec();
        for part in [NAMESPACE, b"", HASH, digest.as_ref()] {
            put_string(&mut data, part);
        }
        let (algorithm, signature) = self.pair.sign(&data)?;
        let mut inner = Vec::new();
        put_string(&mut inner, algorithm);
        put_string(&mut inner, &signature);

        let mut envelope = b"SSHSIG".to_vec();
        envelope.extend_from_slice(&1_u32.to_be_bytes());
        for part in [&self.public, NAMESPACE, b"", HASH, &inner] {
            put_string(&mut envelope, part);
        }
        let encoded = BASE64_STANDARD.encode(envelope);
        let mut text = "-----BEGIN SSH SIGNATURE-----\n".to_owned();
        for line in encoded.as_bytes().chunks(70) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        Some(text + "-----END SSH SIGNATURE-----\n")
    }
}

impl Pair {
    /// The name of the algorithm, and the signature in its wire format.
    fn sign(&self, data: &[u8]) -> Option<(&'static [u8], Vec<u8>)> {
        match self {
            Self::Ed25519(pair) => Some((b"ssh-ed25519", pair.sign(data).as_ref().to_vec())),
            Self::Ecdsa(algorithm, pair) => {
                let signature = pair.sign(&SystemRandom::new(), data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                let mut wire = Vec::new();
                put_number(&mut wire, r);
                put_number(&mut wire, s);
                Some((algorithm, wire))
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), data, &mut signature).ok()?;
                Some((b"rsa-sha2-512", signature))
            }
        }
    }
}

/// A positive number: without leading zeros, but with one where its first bit would read as a minus.
fn put_number(wire: &mut Vec<u8>, number: &[u8]) {
    let number = trimmed(number);
    if number.first().is_some_and(|first| *first & 0x80 != 0) {
        put_string(wire, &[&[0], number].concat());
    } else {
        put_string(wire, number);
    }
}

/// The public key, and the private one followed by the public one again.
fn ed25519(wire: &mut Wire<'_>) -> Option<Ed25519KeyPair> {
    let (public, both) = (wire.string()?, wire.string()?);
    let seed = both.get(..32)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()
}

/// The curve, the point, and the private number.
fn ecdsa(wire: &mut Wire<'_>, algorithm: &'static [u8]) -> Option<Pair> {
    let (signing, width) = match algorithm {
        b"ecdsa-sha2-nistp256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, 48),
    };
    let (_curve, point, number) = (wire.string()?, wire.string()?, trimmed(wire.string()?));
    let mut private = vec![0; width];
    private.get_mut(width.checked_sub(number.len())?..)?.copy_from_slice(number);
    let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &private, point, &SystemRandom::new());
    pair.ok().map(|pair| Pair::Ecdsa(algorithm, pair))
}

/// n, e, d, the inverse of q modulo p, p, q.
fn rsa(wire: &mut Wire<'_>) -> Option<RsaKeyPair> {
    let mut number = || wire.string().map(trimmed);
    let (n, e, d) = (number()?, number()?, number()?);
    let (inverse, p, q) = (number()?, number()?, number()?);
    let (for_p, for_q) = (modulo_less_one(d, p)?, modulo_less_one(d, q)?);
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: for_p.as_slice(),
        dQ: for_q.as_slice(),
        qInv: inverse,
    };
    RsaKeyPair::from_components(&components).ok()
}
