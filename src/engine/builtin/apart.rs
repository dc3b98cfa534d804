//! A recovery point restored on a server that was made for it: filled, judged, and its artifacts read.
//!
//! Apart from the restore because nothing takes anybody's place here, and what is protected is asked nothing. A refusal may
//! come from this machine and say nothing of the point: that is told apart.

use super::artifacts::{ArtifactContent, ArtifactMethod, read_back};
use super::beside::{PointObjects, SidePlatform};
use super::manifest::PointManifest;
use super::restore::{fill_anywhere, fill_side};
use crate::client::Error;
use crate::engine::{PointArtifacts, PointBeside, PointJudge};
use crate::environment::ThrowawayServer;
use crate::model::Finding;
use crate::repository::OpenPoint;

/// Restores a logical point on the server, lets the judge look at it, and reads every artifact.
pub async fn restore(
    point: &OpenPoint,
    manifest: &PointManifest,
    on: &ThrowawayServer,
    judge: &dyn PointJudge,
) -> Result<Finding, Error> {
    let content = &manifest.content;
    let server = on.create(major(&content.server)?, &content.roles).await?;
    let filled = if content.roles.is_empty() {
        fill_anywhere(&server, point, manifest).await // whose rights they were, older points do not say
    } else {
        fill_side(&server, point, manifest).await
    };
    let filled = match filled {
        Ok(filled) => filled,
        Err(error) => return refused(error),
    };
    let side = SidePlatform::new(&server, filled.name())?;
    let in_point = |content: &&ArtifactContent| content.method == ArtifactMethod::Objects;
    let held = manifest.artifacts.as_ref().filter(in_point).map(|content| (PointObjects::new(point, content), content));
    let artifacts =
        held.as_ref().map(|(objects, it)| PointArtifacts { objects, bucket: &it.bucket, prefix: &it.prefix });
    let judged = judge.judge(&PointBeside { platform: &side, artifacts }).await;
    let read = match &manifest.artifacts {
        Some(content) => read_back(point, content).await,
        None => Finding::met(),
    };
    let rows = content.rows.values().sum::<i64>();
    Ok(Finding::met().figure("rows restored", rows).and(judged).and(read))
}

/// What a refused restore says: of the point, or only of this machine.
pub fn refused(error: Error) -> Result<Finding, Error> {
    let said = error.to_string();
    let hint = match said.as_str() {
        said if said.contains("invalid locale name") => "generate that locale on this machine, as on the server",
        said if said.contains("could not open extension control file") || said.contains("is not available") => {
            "install that extension on this machine, as on the server"
        }
        said if said.contains("No space left on device") => "give LIFEBOAT_STATE more room: the database must fit",
        _ => return Ok(Finding::missed(said)),
    };
    Err(error.hint(hint))
}

/// The major version in `15.18 (Debian 15.18-0+deb12u1)`.
fn major(server: &str) -> Result<u32, Error> {
    let number = server.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().map_err(|_| Error::new("cannot restore on a throw-away server", format!("`{server}` is no version")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    #[test]
    fn what_this_machine_lacks_is_no_flaw_of_the_point() {
        for said in ["invalid locale name: \"xx\"", "extension \"vector\" is not available", "No space left on device"]
        {
            let error = refused(Error::new("`pg_restore` failed", said)).unwrap_err();
            assert!(error.hint.is_some(), "{said}");
        }
        let flaw = refused(Error::new("`pg_restore` failed", "unexpected end of file")).unwrap();
        assert_eq!(flaw.verdict, Verdict::Missed);
    }

    #[test]
    fn the_major_version_is_read_from_what_the_server_says() {
        assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)").unwrap(), 15);
        assert_eq!(major("18beta1").unwrap(), 18);
        assert!(major("").is_err());
    }
}
