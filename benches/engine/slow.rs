//! A way to a server that takes longer: what a client sends arrives some milliseconds later, as over a distance.

use lifeboat::client::{Error, ports};
use lifeboat::clock::Deadline;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// So many parts may be under way at once on one connection.
const UNDER_WAY: usize = 256;
const PART: usize = 64 << 10;

/// Opens the way; answers its port. It ends with the process.
pub fn open(server: SocketAddr, added: Duration) -> Result<u16, Error> {
    let wrong = |error| Error::caused_by("cannot open a slower way", error);
    let listener = ports::listen()?;
    listener.set_nonblocking(true).map_err(wrong)?;
    let listener = TcpListener::from_std(listener).map_err(wrong)?;
    let port = listener.local_addr().map_err(wrong)?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, server, added));
        }
    });
    Ok(port)
}

/// Passes one connection on: what comes back is not held up.
async fn pass(client: TcpStream, server: SocketAddr, added: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((mut asks, mut hears), (mut answers, mut told)) = (client.into_split(), server.into_split());
    let (sender, mut receiver) = mpsc::channel::<(Deadline, Vec<u8>)>(UNDER_WAY);
    let read = async {
        let mut part = vec![0; PART];
        loop {
            match asks.read(&mut part).await {
                Ok(bytes @ 1..) if sender.send((Deadline::within(added), part[..bytes].to_vec())).await.is_ok() => {}
                _ => break drop(sender),
            }
        }
    };
    let write = async {
        while let Some((due, part)) = receiver.recv().await {
            tokio::time::sleep(due.left()).await;
            told.write_all(&part).await?;
        }
        told.shutdown().await
    };
    let back = async { tokio::io::copy(&mut answers, &mut hears).await };
    tokio::select! {
        ((), done) = async { tokio::join!(read, write) } => done,
        done = back => done.map(drop),
    }
}
