//! The users of a VersityGW server, over the API of its administrator.
//!
//! That API is signed as S3 is, at the same port, but no client library has its calls: so a call of the S3 client's own
//! is sent with another method, path and body. Seen with VersityGW 1.8: deleting a user who is not there answers 200,
//! creating one who is there 409, and without a cache of users (`--iam-cache-disable`) both hold at once.

use super::{Error, s3};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::SdkBody;

/// Deletes a user; nothing if there is none. His buckets stay his.
///
/// # Errors
/// If the server refuses, or keeps its users where it may not write.
pub async fn delete_user(root: &Client, endpoint: &str, access: &str) -> Result<(), Error> {
    let what = format!("cannot delete the key `{access}`");
    patch(root, format!("{endpoint}/delete-user?access={}", plain(&what, access)?), String::new(), what).await
}

/// Makes a user who may make buckets; nothing if he is there.
///
/// # Errors
/// As [`delete_user`].
pub async fn create_user(root: &Client, endpoint: &str, access: &str, secret: &str) -> Result<(), Error> {
    let what = format!("cannot create the key `{access}`");
    let (access, secret) = (plain(&what, access)?, plain(&what, secret)?);
    let account = format!(
        "<Account><Access>{access}</Access><Secret>{secret}</Secret><Role>userplus</Role>\
         <UserID>0</UserID><GroupID>0</GroupID><ProjectID>0</ProjectID></Account>"
    );
    patch(root, format!("{endpoint}/create-user"), account, what).await
}

/// The same text, if it needs no escape in a query or in XML.
fn plain<'a>(what: &str, text: &'a str) -> Result<&'a str, Error> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(text);
    }
    Err(Error::new(what, "a key or its secret has other characters than letters and digits"))
}

async fn patch(root: &Client, url: String, body: String, what: String) -> Result<(), Error> {
    // A call that changes nothing, should its own method be sent after all.
    let call = root.head_bucket().bucket("users").customize().mutate_request(move |request| {
        if request.set_uri(url.as_str()).is_ok() && request.set_method("PATCH").is_ok() {
            *request.body_mut() = SdkBody::from(body.as_str());
        }
    });
    match call.send().await {
        Err(error) if error.code() != Some("XAdminUserExists") => Err(s3::failure(what, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_would_need_an_escape_is_refused() {
        assert!(plain("x", "aZ09").is_ok());
        for text in ["", "a b", "a&access=b", "<a>", "é"] {
            assert!(plain("x", text).is_err(), "{text}");
        }
    }
}
