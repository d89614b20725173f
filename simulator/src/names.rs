//! The words by which a simulation is known. None of them may be in a
//! production program, which `cargo xtask test` looks for.

/// The virtio-serial port between guest and host side.
pub const PORT: &str = "org.ravelin.simulator";

/// The organization in every certificate that the simulator issues.
pub const ORGANIZATION: &str = "Ravelin simulator, NOT AMD";

/// The guest's program inside the initramfs.
pub const GUEST_PROGRAM: &str = "/ravelin-sim";

/// What is appended to the kernel's command line.
pub const CMDLINE_SUFFIX: &str = " rdinit=/ravelin-sim";

/// The directory of what else the simulator's archive holds.
pub const GUEST_DIRECTORY: &str = "/ravelin-sim.d";

/// The modules' load order inside [`GUEST_DIRECTORY`].
pub const LOAD_ORDER: &str = "/ravelin-sim.d/modules.load";
