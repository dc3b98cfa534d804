//! A real S3 server without a platform around it, and a proxy that answers 503 in its place.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use lifeboat::client::{ports, s3};
use lifeboat::store;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub const BUCKET: &str = "artifacts";
const KEY: (&str, &str) = ("lifeboatroot", "lifeboat-secret-1");

/// VersityGW with one bucket that keeps versions; gone when dropped.
pub struct ObjectStore {
    server: Child,
    pub endpoint: String,
    pub client: Client,
    _folder: tempfile::TempDir,
}

impl ObjectStore {
    /// Nothing where the program is not.
    pub async fn start() -> Option<Self> {
        let cached = store::cache().join("bin/versitygw");
        let program = if cached.is_file() { cached } else { PathBuf::from("versitygw") };
        let folder = tempfile::tempdir().unwrap();
        for part in ["data", "versions", "iam"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let port = ports::free().unwrap();
        let mut command = Command::new(program);
        command.env("ROOT_ACCESS_KEY_ID", KEY.0).env("ROOT_SECRET_ACCESS_KEY", KEY.1);
        command.args(["--port", &format!("127.0.0.1:{port}"), "--keep-alive", "--quiet", "--iam-cache-disable"]);
        command.arg("--iam-dir").arg(folder.path().join("iam")).args(["posix", "--versioning-dir"]);
        command.arg(folder.path().join("versions")).arg(folder.path().join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(server) = command.spawn() else {
            crate::skips::lacking("rollbacks of a bucket: there is no VersityGW; run any drill once");
            return None;
        };
        let endpoint = format!("http://127.0.0.1:{port}");
        let client = client_of(&endpoint);
        let this = Self { server, endpoint, client, _folder: folder };
        let began = Instant::now();
        while this.client.list_buckets().send().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        this.bucket(BUCKET).await;
        Some(this)
    }

    /// Makes a bucket that keeps versions.
    pub async fn bucket(&self, name: &str) {
        self.client.create_bucket().bucket(name).send().await.unwrap();
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.client.put_bucket_versioning().bucket(name).versioning_configuration(on).send().await.unwrap();
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A client of the administrator's.
pub fn client_of(endpoint: &str) -> Client {
    s3::client(endpoint, KEY.0, KEY.1)
}

/// Stands before a store and answers 503 to so many of the next requests.
pub struct SlowDown {
    pub endpoint: String,
    pub refuse: Arc<AtomicU64>,
    pub refused: Arc<AtomicU64>,
}

impl SlowDown {
    pub async fn before(store: &ObjectStore) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behind: SocketAddr = store.endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let (refuse, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (Arc::clone(&refuse), Arc::clone(&refused));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, behind, counters.clone()));
            }
        });
        Self { endpoint, refuse, refused }
    }
}

/// One request of a connection: refused, or passed on with the wish that the server ends the connection.
async fn serve(mut client: TcpStream, behind: SocketAddr, (refuse, refused): (Arc<AtomicU64>, Arc<AtomicU64>)) {
    let mut head = vec![];
    let end = loop {
        let mut bytes = [0; 4096];
        match client.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend(&bytes[..count]),
        }
        if let Some(end) = head.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
    };
    let refusing = refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        if left == u64::MAX { Some(left) } else { left.checked_sub(1) }
    });
    if refusing.is_ok() {
        refused.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let mut left = length.unwrap_or(0).saturating_sub(head.len() - end - 4);
        while left > 0 {
            let mut bytes = [0; 4096];
            match client.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
        let body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    head.splice(end..end, *b"\r\nConnection: close");
    if server.write_all(&head).await.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
