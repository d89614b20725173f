//! A volume specification: one specification has one encoding.

use luks::VolumeSpec;

pub(super) fn run(data: &[u8]) {
    if let Ok(spec) = VolumeSpec::decode(data) {
        assert_eq!(spec.encode(), data);
        // Whatever was accepted has all that follows from it.
        let _ = (spec.layout().superblock(), spec.new_tail(), spec.digest());
        assert!(spec.layout().check_superblock(&spec.layout().superblock()).is_ok());
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    super::volumes::ordinary().iter().map(|spec| spec.encode().to_vec()).collect()
}
