//! Where things are inside the initramfs: the names that the builder writes
//! and PID 1 reads.
//!
//! One table for both sides, so that they cannot drift apart. Everything named
//! here is inside the launch measurement, because the initramfs is.

/// PID 1 itself: a static executable, mode 0755.
pub const INIT: &str = "/init";

/// The measured configuration (TOML). Optional: everything may come from the
/// measured command line instead.
pub const CONFIGURATION: &str = "/etc/ravelin.toml";

/// The directories of hooks ([`crate::hooks`]). Absent when there are none.
pub const HOOKS: &str = "/etc/ravelin/hooks";

/// Where kernel modules are: `/lib/modules/VERSION/…`, decompressed.
pub const MODULES: &str = "/lib/modules";

/// The load order, in the format of [`crate::load_order`]. Absent when the
/// initramfs has no modules archive.
pub const LOAD_ORDER: &str = "/lib/modules/ravelin.load";

/// Where devtmpfs is mounted.
pub const DEV: &str = "/dev";

/// Where procfs is mounted.
pub const PROC: &str = "/proc";

/// Where sysfs is mounted.
pub const SYS: &str = "/sys";

/// Where the run-time tmpfs is mounted; it is moved into the real root.
pub const RUN: &str = "/run";

/// Where the real root is mounted before it becomes `/`.
pub const SYSROOT: &str = "/sysroot";

/// The directories of the base archive that PID 1 mounts on, all mode 0755.
pub const MOUNT_POINTS: [&str; 5] = [DEV, PROC, SYS, RUN, SYSROOT];

/// The console device node of the base archive: the kernel opens it for PID 1
/// before devtmpfs is mounted. Mode 0600.
pub const CONSOLE: &str = "/dev/console";

/// Device number of [`CONSOLE`]: major, minor.
pub const CONSOLE_DEVICE: (u32, u32) = (5, 1);

/// The null device of the base archive: where the kernel finds no console, PID
/// 1's runtime opens it in the console's place. Mode 0666.
pub const NULL: &str = "/dev/null";

/// Device number of [`NULL`]: major, minor.
pub const NULL_DEVICE: (u32, u32) = (1, 3);

/// Where PID 1 leaves the report that it asked for at boot, in the run-time
/// tmpfs: `report.bin`, `certificates.bin`, `ssh_host_keys`, `receipt`, `evidence.json`.
pub const EVIDENCE: &str = "/run/ravelin";

/// An empty directory, mode 0555: root and working directory of the responder.
pub const EMPTY: &str = "/run/ravelin/empty";
