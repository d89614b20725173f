// Unpacks the trees of this directory: text that `tail -n +1 FILES` prints.

/// Writes the files of `text` below `directory`.
fn unpack(text: &str, directory: &std::path::Path) {
    for entry in text.split("==> ").skip(1) {
        let (path, content) = entry.split_once(" <==\n").expect("a heading");
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, content).expect("written");
    }
}
