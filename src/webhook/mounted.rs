//! A certificate that somebody else, such as cert-manager, keeps in mounted files.

use super::certificates::Certificate;
use super::tls::{LiveCertificate, TlsError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the files are looked at. A mounted Secret takes a minute to follow anyway.
const LOOK: Duration = Duration::from_secs(10);

/// A file that cannot be read, or not be used.
#[derive(Debug, thiserror::Error)]
pub enum MountedError {
    /// A file is missing or cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The files hold no certificate with its key.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: TlsError,
    },
}

/// The directory, with `tls.crt`, `tls.key` and perhaps `ca.crt`.
#[derive(Clone, Debug)]
pub struct Mounted(pub PathBuf);

impl Mounted {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file.
    pub fn read(&self) -> Result<Certificate, MountedError> {
        let read = |name: &str| {
            let path = self.0.join(name);
            std::fs::read_to_string(&path).map_err(|source| MountedError::Read { path, source })
        };
        let ca = self.0.join("ca.crt");
        let ca = if ca.exists() { Some(read("ca.crt")?) } else { None };
        Ok(Certificate { ca, chain: read("tls.crt")?, key: read("tls.key")? })
    }

    /// Hands on to `live` and `authority` what the files become, beginning after `current`. What cannot be used is
    /// logged once, and the last that could be used stays.
    pub async fn follow(
        self,
        mut current: Certificate,
        live: Arc<LiveCertificate>,
        authority: watch::Sender<Option<String>>,
    ) {
        let mut complaint = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look(&mut current, &live, &authority) {
                Ok(()) => complaint.clear(),
                Err(error) if error.to_string() == complaint => {}
                Err(error) => {
                    tracing::warn!(%error, "The webhook's certificate cannot be renewed");
                    complaint = error.to_string();
                }
            }
        }
    }

    fn look(
        &self,
        current: &mut Certificate,
        live: &LiveCertificate,
        authority: &watch::Sender<Option<String>>,
    ) -> Result<(), MountedError> {
        let found = self.read()?;
        if found == *current {
            return Ok(());
        }
        live.replace(&found).map_err(|source| MountedError::Unusable { path: self.0.clone(), source })?;
        tracing::info!(directory = %self.0.display(), "The webhook's certificate was renewed");
        authority.send_replace(found.ca.clone());
        *current = found;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::certificate;

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Mounted(directory.path().to_owned());
        let write = |certificate: &Certificate| {
            std::fs::write(directory.path().join("tls.crt"), &certificate.chain).unwrap();
            std::fs::write(directory.path().join("tls.key"), &certificate.key).unwrap();
        };
        let mk =
            || certificate(&["a.example".to_owned()], jiff::Timestamp::from_second(1_800_000_000).unwrap()).unwrap();
        assert!(matches!(mounted.read(), Err(MountedError::Read { .. })));
        let first = mk();
        write(&first);
        let mut current = mounted.read().unwrap();
        assert_eq!((&current.chain, &current.ca), (&first.chain, &None));

        let live = LiveCertificate::new(&current).unwrap();
        let (authority, known) = watch::channel(None);
        mounted.look(&mut current, &live, &authority).unwrap();
        assert!(!known.has_changed().unwrap());

        let second = mk();
        write(&Certificate { key: first.key.clone(), ..second.clone() });
        let error = mounted.look(&mut current, &live, &authority).unwrap_err();
        assert!(matches!(error, MountedError::Unusable { .. }), "{error}");
        assert_eq!(current.chain, first.chain);

        write(&second);
        std::fs::write(directory.path().join("ca.crt"), "CA").unwrap();
        mounted.look(&mut current, &live, &authority).unwrap();
        assert_eq!((current.chain, known.borrow().as_deref()), (second.chain, Some("CA")));
    }
}
