//! The network, by system calls.

use std::cell::OnceCell;
use std::error::Error;
use std::io;
use std::time::Duration;

use protocol::config::Network;

use super::network::{Connection, Log};
use super::{Linux, log};
use crate::platform::{Level, Links};

impl Links for Linux {
    fn network_up(
        &self,
        network: &Network,
        until: Duration,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.network_down()?;
        let start = self.start;
        // The thread that keeps the lease has its own way into the kernel's log.
        let tell: Log = Box::new(move |line| {
            let ms = start.elapsed().as_millis();
            let line = format!("ravelin: [{ms:>5} ms] network: {line}");
            log::line(&OnceCell::new(), Level::Info, &line);
        });
        let (connection, has) = Connection::open(network, start + until, tell)?;
        self.connection.replace(Some(connection));
        Ok(has)
    }

    fn network_down(&self) -> io::Result<()> {
        self.connection.take().map_or(Ok(()), Connection::close)
    }
}
