//! Renews the certificate that the operator has made for itself, long before it expires.

use super::certificates::{VALIDITY, certificate};
use super::tls::LiveCertificate;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// When to renew.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// How old a certificate becomes.
    pub after: Duration,
    /// How long the API server may take to learn of a new authority before its certificate is shown.
    pub settle: Duration,
    /// How long to wait after a failure.
    pub retry: Duration,
}

impl Default for Renewal {
    /// Two thirds of the time for which a certificate is valid; a minute to settle; an hour.
    fn default() -> Self {
        Self { after: VALIDITY / 3 * 2, settle: Duration::from_secs(60), retry: Duration::from_secs(3_600) }
    }
}

impl Renewal {
    /// Renews the certificate in `live` for `names`, again and again. `authority` first names the old and the new
    /// authority, so that no call fails in between.
    pub async fn run(self, names: Vec<String>, live: Arc<LiveCertificate>, authority: watch::Sender<Option<String>>) {
        let mut wait = self.after;
        loop {
            tokio::time::sleep(wait).await;
            let made = match certificate(&names, jiff::Timestamp::now()) {
                Ok(made) => made,
                Err(error) => {
                    tracing::warn!(%error, "The webhook's certificate cannot be renewed");
                    wait = self.retry;
                    continue;
                }
            };
            let old = authority.borrow().clone().unwrap_or_default();
            // The newest comes first; one predecessor is enough.
            let predecessor: String = old.split_inclusive("-----END CERTIFICATE-----\n").take(1).collect();
            authority.send_replace(made.ca.as_ref().map(|ca| format!("{ca}{predecessor}")));
            tokio::time::sleep(self.settle).await;
            wait = match live.replace(&made) {
                Ok(()) => {
                    tracing::info!("The webhook's certificate was renewed");
                    self.after
                }
                Err(error) => {
                    tracing::warn!(%error, "The webhook's certificate cannot be renewed");
                    self.retry
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn the_new_authority_is_told_beside_the_old_one_and_nothing_grows() {
        let names = vec!["a.example".to_owned()];
        let first = certificate(&names, jiff::Timestamp::now()).unwrap();
        let live = Arc::new(LiveCertificate::new(&first).unwrap());
        let (authority, mut told) = watch::channel(first.ca.clone());
        let every = Duration::from_millis(10);
        let renewal = Renewal { after: every, settle: every, retry: every };
        let mut tasks = JoinSet::new();
        tasks.spawn(renewal.run(names, live, authority));
        let mut before = first.ca.unwrap();
        for _ in 0..3 {
            told.changed().await.unwrap();
            let bundle = told.borrow_and_update().clone().unwrap();
            let newest = bundle.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
            assert_ne!(newest, before);
            assert_eq!(bundle, format!("{newest}{before}"));
            before = newest;
        }
    }
}
