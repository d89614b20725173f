//! The virtual machine tests: one program, so that its images are made once.

mod harness;
