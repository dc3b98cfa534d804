//! A file of a point that is being put: its name, what is known of it, and how its bytes are read.

use crate::client::Error;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::fmt;
use tokio::io::AsyncRead;

/// Opens a file's bytes. They must end with an error when they are not whole: a program's output ends well only when
/// the program did.
pub type Opener = Box<dyn FnOnce() -> BoxFuture<'static, Result<Box<dyn AsyncRead + Send + Unpin>, Error>> + Send>;

/// When a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Before its turn, together with the next ones: for many small files far away.
    Ahead,
    /// When its turn comes: for a file whose reading costs something, such as a dump.
    Own,
    /// When all others have been read: for what tells of them. Only the last file may wait so.
    Last,
}

/// A file that is put into a repository as a part of a point.
pub struct NewFile {
    /// Its name in the point, in any characters; parts are separated by slashes.
    pub name: String,
    /// Bytes, if they are known. Others are an error.
    pub size: Option<u64>,
    /// When it was changed last.
    pub modified: Option<Timestamp>,
    /// What changes whenever its bytes do, such as an entity tag or the id of a version. A file with the size and
    /// identity that it had in the point before is not read again. Without one it is always read.
    pub identity: Option<String>,
    /// What else is to be known of it, by name: key, version, checksum.
    pub attributes: Vec<(String, String)>,
    /// When it is opened.
    pub turn: Turn,
    /// Opens it. Not called for a file that has not changed.
    pub open: Opener,
}

impl NewFile {
    /// A file of which nothing is known beforehand.
    pub fn stream<F>(name: impl Into<String>, open: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Box<dyn AsyncRead + Send + Unpin>, Error>> + Send + 'static,
    {
        Self {
            name: name.into(),
            size: None,
            modified: None,
            identity: None,
            attributes: vec![],
            turn: Turn::Own,
            open: Box::new(|| Box::pin(open())),
        }
    }

    /// A file with these bytes.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = std::io::Cursor::new(bytes.into());
        let size = u64::try_from(bytes.get_ref().len()).ok();
        Self { size, ..Self::stream(name, move || std::future::ready(Ok(Box::new(bytes) as _))) }
    }
}

impl fmt::Debug for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("NewFile").field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}
