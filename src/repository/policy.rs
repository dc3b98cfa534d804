//! What a key must be allowed to do with a repository in a bucket, and no more.
//!
//! Who takes backups cannot delete them, who restores cannot write, and only the key of the prune deletes. The lease is the
//! exception: whoever writes removes the lease files before its own.

use super::lease;
use serde_json::{Value, json};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// `create`, `backup`, and being copied into.
    Backup,
    /// `points`, `verify`, `restore`, and being copied from.
    Restore,
    /// `prune`.
    Prune,
}

/// The policy, in the form of AWS' identity policies.
pub(super) fn policy(bucket: &str, prefix: &str, key_use: KeyUse, locked: bool) -> Value {
    let prefix = prefix.trim_matches('/');
    let under = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let files = format!("arn:aws:s3:::{bucket}/{under}*");
    let leases = format!("arn:aws:s3:::{bucket}/{under}{}*", lease::FOLDER);
    let allow = |actions: &[&str], on: &str| json!({ "Effect": "Allow", "Action": actions, "Resource": [on] });
    let with_lock = |action: &'static str, of_lock: &'static str| {
        if locked { vec![action, of_lock] } else { vec![action] }
    };
    let mut statements = vec![
        allow(&["s3:ListBucket"], &format!("arn:aws:s3:::{bucket}")),
        allow(&with_lock("s3:GetObject", "s3:GetObjectRetention"), &files),
    ];
    if key_use != KeyUse::Restore {
        statements.push(allow(&with_lock("s3:PutObject", "s3:PutObjectRetention"), &files));
        statements.push(allow(&["s3:DeleteObject"], if key_use == KeyUse::Prune { &files } else { &leases }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}
