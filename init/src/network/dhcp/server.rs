//! A DHCP server's part for tests: it reads what a client sends, and writes any answer,
//! also such as no server should. Knows nothing of the client's code.

use std::net::Ipv4Addr;

/// What a client sent.
#[derive(Debug, Clone)]
pub(crate) struct Question(pub(crate) Vec<u8>);

impl Question {
    pub(crate) fn kind(&self) -> u8 {
        self.option(53).expect("a message type")[0]
    }

    pub(crate) fn wants_broadcast(&self) -> bool {
        self.0[10] & 0x80 != 0
    }

    pub(crate) fn option(&self, wanted: u8) -> Option<Vec<u8>> {
        let mut rest = &self.0[240..];
        while rest[0] != 255 {
            let length = usize::from(rest[1]);
            if rest[0] == wanted {
                return Some(rest[2..2 + length].to_vec());
            }
            rest = &rest[2 + length..];
        }
        None
    }
}

/// An answer to a client: the usual options, to be changed.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) fixed: [u8; 240],
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    /// To `question`: `address`/24 from and by the first address of its subnet, for
    /// 3600 s.
    pub(crate) fn new(question: &Question, kind: u8, address: Ipv4Addr) -> Self {
        let mut fixed: [u8; 240] = question.0[..240].try_into().unwrap();
        fixed[0] = 2;
        fixed[16..20].copy_from_slice(&address.octets());
        let [a, b, c, _] = address.octets();
        let options = vec![
            (53, vec![kind]),
            (54, vec![a, b, c, 1]),
            (51, 3600_u32.to_be_bytes().to_vec()),
            (1, vec![255, 255, 255, 0]),
            (3, vec![a, b, c, 1]),
        ];
        Self { fixed, options }
    }

    /// With this option, in place of the one that is there.
    pub(crate) fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.retain(|(other, _)| *other != code);
        self.options.push((code, value.to_vec()));
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut message = self.fixed.to_vec();
        for (code, value) in &self.options {
            message.extend([*code, u8::try_from(value.len()).unwrap()]);
            message.extend(value);
        }
        message.push(255);
        message
    }
}
