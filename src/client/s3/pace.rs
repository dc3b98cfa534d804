//! How fast a store is asked: as many requests at once as it serves, fewer when it says that they are too many, and
//! again after a pause what it did not serve.
//!
//! Apart because every mass of requests needs the same. The crate's own retries are turned off here: they know neither
//! each other nor our deadline. The number at once grows by one for each request that is served, is halved when the store
//! says 503 or does not answer in time, and from then on grows by one for each round.

use super::failure;
use crate::client::{Error, ErrorKind};
use crate::clock::{Clock, Deadline, Moment};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// So many requests are under way at first, and at most. More gain nothing: 64 copies at once reach the requests per
/// second that AWS serves for one prefix (3,500 a second).
const FIRST: f64 = 16.0;
const MOST: usize = 64;
/// The number is halved once in this time, as answers to requests of before come in for a while.
const CUT_EVERY: f64 = 0.2;
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So long does a request try to be served.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// So long may the answer to a listing or a batch take.
pub const ANSWER: Duration = Duration::from_mins(1);

/// A store's client with its pace.
#[derive(Debug)]
pub struct PacedStore {
    /// The client, without retries and limits of its own.
    pub client: Client,
    patience: Duration,
    clock: Clock,
    state: Mutex<PaceState>,
    freed: Notify,
}

#[derive(Debug)]
struct PaceState {
    limit: f64,
    lowest: f64,
    in_flight: u32,
    requests: u64,
    refusals: u64,
    cut: Option<Moment>,
    served: Option<Moment>,
}

/// What a store was asked, and what held it back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaceFigures {
    /// Requests sent.
    pub requests: u64,
    /// Of those, answered 503 or not in time, and sent again.
    pub refusals: u64,
    /// The fewest at once that the store brought us down to; the most that there are, if it did not.
    pub lowest: u32,
}

impl PaceFigures {
    /// Which limit was hit, in words.
    pub fn limit(&self) -> String {
        match self.refusals {
            0 => format!("the store's own pace, up to {MOST} requests at once"),
            refusals => format!("{refusals} answers of 503 or none, down to {} requests at once", self.lowest),
        }
    }
}

/// A request that was not served.
#[derive(Debug)]
pub struct RequestFailure {
    /// Why.
    pub error: Error,
    /// Was no other request served either while it was tried? Then the store does not serve at all.
    pub all: bool,
}

/// What an error means for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Too many requests: fewer, and this one again.
    TooMany,
    /// Something that may pass: this one again.
    Passing,
    /// It will be the same next time.
    Final,
}

impl PacedStore {
    /// A store that is asked by this client.
    pub fn new(client: &Client) -> Self {
        Self::with_patience(client, PATIENCE)
    }

    /// The same, with the time that a request tries to be served.
    pub fn with_patience(client: &Client, patience: Duration) -> Self {
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        // Said one by one: what is left out is taken from the client's own limits, which a batch is too long for.
        let limits = TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).disable_read_timeout();
        let limits = limits.disable_operation_timeout().disable_operation_attempt_timeout().build();
        let config = config.timeout_config(limits);
        #[allow(clippy::cast_precision_loss)] // 64
        let (limit, lowest) = (FIRST, MOST as f64);
        let state = PaceState { limit, lowest, in_flight: 0, requests: 0, refusals: 0, cut: None, served: None };
        let client = Client::from_conf(config.build());
        Self { client, patience, clock: Clock::start(), state: Mutex::new(state), freed: Notify::new() }
    }

    /// So many requests make sense to have ready.
    pub const fn at_once() -> usize {
        MOST
    }

    /// What was asked so far.
    pub fn figures(&self) -> PaceFigures {
        let state = self.state.lock();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to `MOST`
        let lowest = state.lowest as u32;
        PaceFigures { requests: state.requests, refusals: state.refusals, lowest }
    }

    /// Sends a request when it is its turn, again and again until it is served, refused for good, or our patience is
    /// over. `within` is the longest that one answer may take.
    pub async fn send<T, E, F>(
        &self,
        what: impl Fn() -> String,
        within: Duration,
        request: impl Fn() -> F,
    ) -> Result<T, RequestFailure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (begun, deadline) = (self.clock.now(), Deadline::within(self.patience));
        let mut attempt = 0;
        loop {
            let turn = self.turn().await;
            let answer = tokio::time::timeout(within, request()).await;
            drop(turn);
            let (error, sign) = match answer {
                Ok(Ok(answer)) => {
                    self.served();
                    return Ok(answer);
                }
                Ok(Err(error)) => (told(what(), &error), sign(&error)),
                Err(_) => (Error::new(what(), format!("no answer within {} s", within.as_secs())), Sign::TooMany),
            };
            if sign == Sign::Final {
                self.served(); // by an answer that says no
                return Err(RequestFailure { error, all: false });
            }
            self.refused(sign);
            if let Some(error) = self.pause(attempt, deadline, error).await {
                return Err(RequestFailure { error, all: !self.served_since(begun) });
            }
            attempt += 1;
        }
    }

    /// Waits before the next attempt; the error if there is no time for one.
    pub async fn pause(&self, attempt: u32, deadline: Deadline, error: Error) -> Option<Error> {
        let longest = PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
        let pause = longest.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        if deadline.left() < pause {
            let hint = "the store is overloaded, full or gone: once it serves, begin again; what is done is kept";
            let mut error = error.hint(hint);
            error.why = format!("{} (tried for {} s)", error.why, self.patience.as_secs());
            return Some(error);
        }
        tokio::time::sleep(pause).await;
        None
    }

    /// Until when a request that begins now tries to be served.
    pub fn deadline(&self) -> Deadline {
        Deadline::within(self.patience)
    }

    /// The moment from which `served_since` looks.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Was any request served since then?
    pub fn served_since(&self, begun: Moment) -> bool {
        self.state.lock().served.is_some_and(|served| served > begun)
    }

    async fn turn(&self) -> PaceSlot<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                if f64::from(state.in_flight) + 1.0 <= state.limit {
                    state.in_flight += 1;
                    state.requests += 1;
                    return PaceSlot(self);
                }
            }
            freed.await;
        }
    }

    fn served(&self) {
        let mut state = self.state.lock();
        state.served = Some(self.clock.now());
        let before = state.limit;
        #[allow(clippy::cast_precision_loss)] // 64
        let most = MOST as f64;
        let step = if state.cut.is_none() { 1.0 } else { 1.0 / before };
        state.limit = (before + step).min(most);
        if state.limit.floor() > before.floor() {
            self.freed.notify_one();
        }
    }

    /// Something of the store's was refused though the request was served: a key in a batch, say.
    pub fn too_many(&self) {
        self.refused(Sign::TooMany);
    }

    fn refused(&self, sign: Sign) {
        let mut state = self.state.lock();
        state.refusals += 1;
        let now = self.clock.now();
        if sign == Sign::TooMany && state.cut.is_none_or(|cut| now.since(cut) > CUT_EVERY) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.lowest = state.lowest.min(state.limit.floor());
            state.cut = Some(now);
        }
    }
}

/// The right to have one request under way.
struct PaceSlot<'a>(&'a PacedStore);

impl Drop for PaceSlot<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
        self.0.freed.notify_one();
    }
}

/// Is this a code of too many requests? `MinIO` says `SlowDownRead` and `SlowDownWrite` too.
pub fn says_too_many(code: &str) -> bool {
    code.starts_with("SlowDown") || matches!(code, "ServiceUnavailable" | "TooManyRequests" | "RequestLimitExceeded")
}

/// Is this a code of something that may pass?
pub fn may_pass(code: &str) -> bool {
    says_too_many(code) || matches!(code, "InternalError" | "RequestTimeout" | "OperationAborted")
}

fn told<E>(what: String, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let absent = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404);
    let told = failure(what, error);
    if absent { told.kind(ErrorKind::NotFound) } else { told }
}

fn sign<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Sign {
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    match (error.code(), status) {
        (Some(code), _) if says_too_many(code) => Sign::TooMany,
        (_, Some(429 | 503)) => Sign::TooMany,
        (Some(code), _) if may_pass(code) => Sign::Passing,
        // 507: the disk is full, which lasts.
        (_, Some(500 | 502 | 504)) => Sign::Passing,
        _ => match error {
            SdkError::TimeoutError(_) => Sign::TooMany,
            SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Sign::Passing,
            _ => Sign::Final,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_number_at_once_grows_with_each_answer_until_one_is_refused_and_slowly_from_then_on() {
        let store = PacedStore::new(&crate::client::s3::client("http://127.0.0.1:9", "key", "secret"));
        let limit = || store.state.lock().limit;
        (0..10).for_each(|_| store.served());
        assert!((limit() - 26.0).abs() < 1e-9, "{}", limit());
        (0..100).for_each(|_| store.served());
        assert!((limit() - 64.0).abs() < 1e-9, "{}", limit());
        store.too_many();
        (0..32).for_each(|_| store.served());
        assert!((32.5..33.0).contains(&limit()), "one more for a round: {}", limit());
        assert_eq!(store.figures().lowest, 32);
    }
}
