//! A journal that keeps nothing: a bench removes its platform itself.

use async_trait::async_trait;
use lifeboat::client::Error;
use lifeboat::environment::Journal;
use lifeboat::model::Receipt;

pub struct Nobody;

#[async_trait]
impl Journal for Nobody {
    async fn creating(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    async fn acting(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    fn progress(&self, text: &str) {
        eprintln!("{text}");
    }
}
