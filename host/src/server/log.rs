//! The kernel's log of this boot.

use super::View;

/// A ring buffer is rarely larger than a few MiB.
const LIMIT: usize = 16 << 20;

/// Where it is: the kernel's own device, then the copy that some distributions make
/// at boot. `kern.log` is not read: it has earlier boots too.
const PLACES: [&str; 2] = ["/dev/kmsg", "/var/log/dmesg"];

/// What the log says about the subject; nothing if it may not be read.
pub(super) struct Log(Option<Vec<String>>);

impl Log {
    pub(super) fn of(view: &View) -> Self {
        let lines = PLACES.iter().find_map(|place| {
            let bytes = view.drain(place, LIMIT).ok().filter(|bytes| !bytes.is_empty())?;
            let text = String::from_utf8_lossy(&bytes);
            let about = |line: &&str| ["SEV", "SNP", "RMP"].iter().any(|word| line.contains(word));
            Some(text.lines().filter(about).map(|line| message(line).to_owned()).collect())
        });
        Self(lines)
    }

    /// The last message with this text. None also means that it was overwritten.
    pub(super) fn find(&self, text: &str) -> Option<&str> {
        self.0.iter().flatten().rev().map(String::as_str).find(|line| line.contains(text))
    }

    pub(super) fn readable(&self) -> bool {
        self.0.is_some()
    }
}

/// A line without what /dev/kmsg (`6,339,51409,-;`) or dmesg (`[    0.051409] `) puts
/// before it.
fn message(line: &str) -> &str {
    if let Some((head, message)) = line.split_once(';')
        && head.starts_with(|c: char| c.is_ascii_digit())
    {
        return message;
    }
    match line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
        Some((_time, message)) => message,
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_either_form() {
        let text = "SEV-SNP: RMP table physical range [0x1 - 0x2]";
        assert_eq!(message(&format!("6,339,5140900,-;{text}")), text);
        assert_eq!(message(&format!("[    0.051409] {text}")), text);
        assert_eq!(message(text), text);
    }
}
