//! A journal that keeps what was created and changed, for tests that use an environment without a run.

use async_trait::async_trait;
use lifeboat::client::Error;
use lifeboat::environment::Journal;
use lifeboat::model::Receipt;
use std::sync::Mutex;

/// The receipts so far.
#[derive(Default)]
pub struct Notes(pub Mutex<Vec<Receipt>>);

#[async_trait]
impl Journal for Notes {
    async fn creating(&self, receipt: Receipt) -> Result<(), Error> {
        self.0.lock().unwrap().push(receipt);
        Ok(())
    }
    async fn acting(&self, receipt: Receipt) -> Result<(), Error> {
        self.creating(receipt).await
    }
    fn progress(&self, text: &str) {
        eprintln!("{text}");
    }
}
