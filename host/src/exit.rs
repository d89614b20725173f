//! The exit codes of `ravelin`: one table for the code, the help texts and the
//! man pages.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; what was checked is good.
    Success = 0,
    /// The command did its work and the answer is "no": a check failed.
    CheckFailed = 1,
    /// The command line is wrong; nothing was done.
    Usage = 2,
    /// An input cannot be used, or this machine lacks something.
    Environment = 3,
    /// A VM did not answer, or with something that is no evidence.
    NoAnswer = 4,
    /// `launch --timeout` ran out.
    TimedOut = 124,
    /// Stopped by SIGINT (Ctrl-C): 128 + 2, as shells say it.
    Interrupted = 130,
    /// Stopped by SIGTERM: 128 + 15.
    Terminated = 143,
}

/// The table as it stands at the end of every long help text.
pub const HELP: &str = "\
Exit codes:
  0    done; what was checked is good
  1    a check failed (a report was refused, `image verify` found damage, …)
  2    the command line is wrong; nothing was done
  3    an input cannot be used, or this machine lacks something
  4    a VM did not answer, or with something that is no evidence
  124  `launch --timeout` ran out
  130  interrupted by Ctrl-C (SIGINT)
  143  stopped by SIGTERM";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl From<Exit> for i32 {
    fn from(exit: Exit) -> i32 {
        i32::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code() {
        let all = [
            Exit::Success,
            Exit::CheckFailed,
            Exit::Usage,
            Exit::Environment,
            Exit::NoAnswer,
            Exit::TimedOut,
            Exit::Interrupted,
            Exit::Terminated,
        ];
        let listed: Vec<i32> = HELP
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(listed, all.map(i32::from));
    }
}
