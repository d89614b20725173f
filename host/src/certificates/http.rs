//! The key service over HTTP: one GET, repeated while the service is busy.
//!
//! Transport security is not what the certificates rest on; it keeps the
//! questions (which chips somebody verifies) and the freshness of revocation
//! lists from those in between. Redirects are not followed: a mirror is named
//! with `--kds-url`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{HeaderMap, header};

use super::error::{FetchError, StoreError};

/// The first pause; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, whatever the service asks for.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 8;

/// A client of one key service.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    base: String,
}

/// What one attempt came to.
enum Attempt {
    Done(Vec<u8>),
    Again(FetchError, Option<Duration>),
    Failed(FetchError),
}

impl Client {
    /// For the service at `base`, http or https. Nothing is sent yet.
    pub(super) fn new(base: &str) -> Result<Self, StoreError> {
        let bad = |reason| StoreError::Url { url: base.to_owned(), reason };
        let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| bad("it does not begin with https:// (or http://)"))?;
        if rest.is_empty() || rest.starts_with('/') {
            return Err(bad("it names no host"));
        }
        if rest.contains(['?', '#']) || rest.contains(char::is_whitespace) {
            return Err(bad("it has more than a host and a path"));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ravelin/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, base: base.trim_end_matches('/').to_owned() })
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The body of the answer, at most `limit` bytes of it.
    ///
    /// While the service is busy or out of reach, it is asked again after
    /// growing pauses, not shorter than it asks for, until `deadline`.
    pub(super) fn get(
        &self,
        path: &str,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, FetchError> {
        let url = self.url(path);
        let mut pause = PAUSE;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (error, asked) = match self.attempt(&url, limit, attempts, deadline) {
                Attempt::Done(body) => return Ok(body),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again(error, asked) => (error, asked),
            };
            let wait = asked.unwrap_or_else(|| jittered(pause)).min(PAUSE_LIMIT);
            let left = deadline.saturating_duration_since(Instant::now());
            // Coming back earlier than asked would only be refused again.
            let too_long = asked.is_some_and(|asked| asked > PAUSE_LIMIT);
            if attempts == ATTEMPTS || wait >= left || too_long {
                return Err(error);
            }
            std::thread::sleep(wait);
            pause = pause.saturating_mul(2).min(PAUSE_LIMIT);
        }
    }

    fn attempt(&self, url: &str, limit: usize, attempts: u32, deadline: Instant) -> Attempt {
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of zero is none for some layers below.
        let timeout = left.min(ATTEMPT).max(Duration::from_millis(1));
        let request = self.agent.get(url).config().timeout_global(Some(timeout)).build();
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return failed(error, limit, attempts),
        };
        let status = response.status();
        if status.is_redirection() {
            let location = text(response.headers(), header::LOCATION).unwrap_or_default();
            let location = location.chars().take(200).collect();
            return Attempt::Failed(FetchError::Redirect { status: status.as_u16(), location });
        }
        match status.as_u16() {
            200 => {}
            404 => return Attempt::Failed(FetchError::NotFound),
            status @ (429 | 502 | 503 | 504) => {
                let retry_after = text(response.headers(), header::RETRY_AFTER)
                    .and_then(|text| text.trim().parse().ok())
                    .map(Duration::from_secs);
                return Attempt::Again(
                    FetchError::Busy { status, attempts, retry_after },
                    retry_after,
                );
            }
            status => return Attempt::Failed(FetchError::Status { status }),
        }
        let bytes = u64::try_from(limit).unwrap_or(u64::MAX);
        match response.body_mut().with_config().limit(bytes).read_to_vec() {
            Ok(body) if body.len() <= limit => Attempt::Done(body),
            Ok(_) => Attempt::Failed(FetchError::TooLarge { limit }),
            Err(error) => failed(error, limit, attempts),
        }
    }
}

/// Whether to ask again after an error of the transport.
fn failed(error: ureq::Error, limit: usize, attempts: u32) -> Attempt {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are requests that stay wrong")]
    match error {
        ureq::Error::BodyExceedsLimit(_) => Attempt::Failed(FetchError::TooLarge { limit }),
        error @ (ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_)) => {
            Attempt::Again(FetchError::Connection { attempts, source: Box::new(error) }, None)
        }
        error => Attempt::Failed(FetchError::Request(Box::new(error))),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Between a half and the whole of `pause`, so that many clients that were
/// refused together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // The standard library's only source of randomness; nothing secret.
    let random = RandomState::new().build_hasher().finish();
    let half = pause / 2;
    let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half.saturating_add(Duration::from_millis(random % span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        for good in ["https://kdsintf.amd.com", "http://[::1]:8080/mirror/", "http://127.0.0.1:1"] {
            let client = Client::new(good).unwrap();
            assert!(client.url("/x").ends_with("/x") && !client.url("/x").contains("//x"));
        }
        for bad in ["", "kdsintf.amd.com", "ftp://a", "https://", "https:///x", "https://a?b=c"] {
            assert!(matches!(Client::new(bad), Err(StoreError::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn pauses_grow_and_vary() {
        for pause in [PAUSE, PAUSE_LIMIT] {
            let jittered = jittered(pause);
            assert!(jittered >= pause / 2 && jittered <= pause, "{jittered:?}");
        }
    }
}
