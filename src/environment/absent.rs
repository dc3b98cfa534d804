//! The platform of who asks none: for acts that need nothing but a repository.
//!
//! Apart because what is protected may be gone, and its passwords with it, while its points are listed and proved.

use super::{Endpoints, Platform};
use async_trait::async_trait;

/// A platform without endpoints and powers.
#[derive(Debug, Default)]
pub struct AbsentPlatform(Endpoints);

#[async_trait]
impl Platform for AbsentPlatform {
    fn endpoints(&self) -> &Endpoints {
        &self.0
    }
    async fn remove(&self) -> Vec<String> {
        vec![] // there is nothing
    }
}
