//! Every artifact of a point, read from the repository to its end and compared with its checksums.
//!
//! Apart from the restore because nothing is put anywhere: no bucket is needed. A sample would prove only the sample.

use super::{ArtifactContent, ArtifactMethod, windows};
use crate::client::Error;
use crate::model::Finding;
use crate::repository::{OpenPoint, StoredFile, in_pack_order};
use futures::{StreamExt, stream};

/// So many are read at once.
const AT_ONCE: usize = 4;
/// So many that cannot be read are named.
const NAMED: usize = 3;

/// Reads them all. Of a point that has only their versions nothing can be told: the bytes are in the bucket.
pub async fn read_back(point: &OpenPoint, content: &ArtifactContent) -> Finding {
    if content.method == ArtifactMethod::Versions {
        let why = "the point has the versions of the artifacts, and their bytes are in the bucket";
        return Finding::unknown(format!("{why} `{}`: they were not read", content.bucket));
    }
    let read = read_all(point)
        .await
        .unwrap_or_else(|error| ReadArtifacts { wrong: vec![error.to_string()], ..ReadArtifacts::default() });
    read.finding(content)
}

/// What was read.
#[derive(Default)]
struct ReadArtifacts {
    objects: u64,
    bytes: u64,
    wrong: Vec<String>,
}

async fn read_all(point: &OpenPoint) -> Result<ReadArtifacts, Error> {
    let (mut all, mut windows) = (ReadArtifacts::default(), windows(point));
    while let Some(window) = windows.next().await {
        let mut window = window.into_iter().collect::<Result<Vec<_>, _>>()?;
        in_pack_order(&mut window);
        let reads: Vec<_> = window.into_iter().map(|file| read(point, file)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        while let Some((size, wrong)) = reads.next().await {
            (all.objects, all.bytes) = (all.objects + 1, all.bytes + size);
            all.wrong.extend(wrong);
        }
    }
    Ok(all)
}

/// Reads one; answers its bytes, and what is wrong with it.
async fn read(point: &OpenPoint, file: StoredFile) -> (u64, Option<String>) {
    let wrong = match point.same(&file, point.read(&file)).await {
        Ok(true) => None,
        Ok(false) => Some(format!("`{}` does not have the checksums of its bytes", super::path(&file))),
        Err(error) => Some(error.to_string()),
    };
    (file.size, wrong)
}

impl ReadArtifacts {
    fn finding(mut self, content: &ArtifactContent) -> Finding {
        if (self.objects, self.bytes) != (content.objects, content.bytes) && self.wrong.is_empty() {
            let (found, had) = (format!("{} artifacts ({} bytes)", self.objects, self.bytes), content.objects);
            self.wrong.push(format!("the point has {found} of {had} ({} bytes)", content.bytes));
        }
        let more = self.wrong.len().saturating_sub(NAMED);
        let named = self.wrong[..self.wrong.len() - more].join("; ");
        let finding = match (self.wrong.len(), more) {
            (0, _) => Finding::met(),
            (_, 0) => Finding::missed(named),
            (_, more) => Finding::missed(format!("{named}; and {more} more")),
        };
        finding.figure("artifacts read", self.objects).figure("bytes of artifacts read", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    #[test]
    fn an_artifact_too_few_and_one_that_cannot_be_read_are_flaws() {
        let content = ArtifactContent {
            bucket: "mlflow".into(),
            prefix: String::new(),
            objects: 2,
            bytes: 20,
            seconds_after: 0.0,
            versions: false,
            policy: None,
            method: ArtifactMethod::Objects,
        };
        let read = |objects, wrong: &[&str]| {
            let wrong = wrong.iter().map(|text| (*text).to_owned()).collect();
            ReadArtifacts { objects, bytes: objects * 10, wrong }.finding(&content)
        };
        assert_eq!(read(2, &[]).verdict, Verdict::Met);
        assert!(read(1, &[]).reason.is_some_and(|why| why == "the point has 1 artifacts (10 bytes) of 2 (20 bytes)"));
        assert!(read(2, &["a", "b", "c", "d"]).reason.is_some_and(|why| why == "a; b; c; and 1 more"));
    }
}
