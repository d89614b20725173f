//! The network of the recording machine.

use std::error::Error;
use std::io;
use std::time::Duration;

use protocol::config::Network;

use super::Fake;
use crate::platform::Links;

impl Links for Fake {
    fn network_up(
        &self,
        _network: &Network,
        _until: Duration,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        Err("not built yet".into())
    }

    fn network_down(&self) -> io::Result<()> {
        Ok(())
    }
}
