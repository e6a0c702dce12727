//! The way to clamd: a TCP or Unix stream, and the same stream with a cap for clamav-client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use clamav_client::tokio::TransportProtocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Address;

/// A connection, whatever it runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Tells the peer at once that its octets arrived. clamd leaves Nagle's algorithm on: its second reply waits for
    /// the acknowledgement of the first, and ours would wait 40 ms for something to travel with.
    fn acknowledge(&self) {}
}

impl Stream for TcpStream {
    fn acknowledge(&self) {
        // Only speed depends on it.
        let _ = rustix::net::sockopt::set_tcp_quickack(self, true);
    }
}

impl Stream for UnixStream {}

/// Connects; the caller sets the time limit.
///
/// # Errors
/// Whatever the system says.
pub(super) async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(host_and_port) => {
            let stream = TcpStream::connect(host_and_port.as_str()).await?;
            // A request ends with a few octets; they must not wait for the acknowledgement of those before.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Address::Unix(path) => loop {
            match UnixStream::connect(path).await {
                Ok(stream) => break Ok(Box::new(stream)),
                // The queue of a busy clamd is full: unlike TCP, the kernel does not wait for us here.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => break Err(error),
            }
        },
    }
}

const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Lets clamav-client speak over our streams. It reads a reply to the end of the stream, whatever comes; the cap
/// keeps a hostile or confused peer from filling our memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capped<'a>(pub(super) &'a Address);

/// Octets of a reply to PING or VERSION.
const REPLY_BYTES_MAX: u64 = 1024;

impl TransportProtocol for Capped<'_> {
    type Stream = CappedStream;

    async fn connect(&self) -> io::Result<CappedStream> {
        Ok(CappedStream(connect(self.0).await?.take(REPLY_BYTES_MAX)))
    }
}

/// Reads as far as the cap, writes without one.
pub(super) struct CappedStream(Take<Box<dyn Stream>>);

impl AsyncRead for CappedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for CappedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(context)
    }
}
