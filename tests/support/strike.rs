//! A fault as a drill carries it out, for tests that have a platform and no run.
#![allow(dead_code)] // each test takes what it needs

use lifeboat::environment::{Act, Platform};
use lifeboat::fault::{FAULTS, Fault};
use lifeboat::kind::pick;
use lifeboat::model::{Receipt, Verdict};
use lifeboat::node::parse;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A fault as it is written.
pub fn fault(written: &str) -> Arc<dyn Fault> {
    let mut problems = vec![];
    let fault = pick("fault", FAULTS, &parse(written).unwrap(), &mut problems);
    fault.unwrap_or_else(|| panic!("{written}: {problems:?}")).it
}

/// Does the harm that is written, waits until it has taken effect, and lifts it, which for damage is nothing.
pub async fn strike(platform: &dyn Platform, written: &str) {
    let (fault, receipt) = onset(platform, written).await;
    fault.lift(platform, &receipt).await.unwrap();
}

/// Does the harm that is written, and waits until it has taken effect.
pub async fn onset(platform: &dyn Platform, written: &str) -> (Arc<dyn Fault>, Receipt) {
    let fault = fault(written);
    platform.guard(Act::Strike).await.unwrap_or_else(|error| panic!("{written}: {error}"));
    let receipt = fault.intend(platform).await.unwrap_or_else(|error| panic!("{written}: {error}"));
    let before = fault.confirm(platform, &receipt).await;
    assert_eq!(before.verdict, Verdict::Missed, "{written}: nothing was done yet: {before:?}");
    let began = Instant::now();
    fault.inject(platform, &receipt).await.unwrap_or_else(|error| panic!("{written}: {error}"));
    loop {
        let finding = fault.confirm(platform, &receipt).await;
        if finding.verdict == Verdict::Met {
            break;
        }
        assert!(began.elapsed() < fault.confirmed_within(), "{written}: {finding:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{written}: had confirmed after {:.2} s", began.elapsed().as_secs_f64());
    assert!(!receipt.0.to_string().contains("PASSWORD"), "no value is in a receipt");
    (fault, receipt)
}
