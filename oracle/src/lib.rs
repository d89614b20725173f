//! libcryptsetup as the judge of what the crate `luks` writes: see the tests. There is
//! nothing else in here, so that no other crate links the C library.
