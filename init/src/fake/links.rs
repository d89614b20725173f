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
        network: &Network,
        _until: Duration,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.call(format!("network-up {:?}", network.link))?;
        Ok("192.0.2.7/24".to_owned())
    }

    fn network_down(&self) -> io::Result<()> {
        self.call("network-down".to_owned())
    }
}
