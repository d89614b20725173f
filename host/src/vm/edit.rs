//! Writing a `vm.toml`: a new one from a commented template, an existing one
//! in place. Whatever the owner wrote stays as it is, comments, order and
//! spelling included; only the values that an image command makes are changed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use attestation::id_block::{IdAuth, IdBlock};
use image_builder::output::Output;
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, value};

use super::file::{directory_of, one_line, position, text};
use super::{Cmdline, CmdlineError, Serial, VmError, VmFile};

/// What a new file begins with.
const TEMPLATE: &str = r#"# One Ravelin VM: written by `ravelin image`, read by `ravelin launch`.
# Paths start at the directory of this file.
format = 1

# Measured at launch, together with the bytes of the files `firmware` (an OVMF
# with SEV hashes; a simulation does without), `kernel` and `initrd`:
vcpus = 1
cpu = "EPYC-v4"

# Not measured:
memory = "2G"

[network]
# 127.0.0.1:2222 leads to the guest's SSH server, 127.0.0.1:4777 to its
# attestation responder.
ssh_port = 2222
attest_port = 4777

[sev]
# In every attestation report: SMT allowed, debugging by the host not.
policy = 0x30000
"#;

/// The order of the values in a new file.
const ORDER: [&str; 8] =
    ["format", "vcpus", "cpu", "firmware", "kernel", "initrd", "cmdline", "memory"];

/// A `vm.toml` that is being made or updated.
#[derive(Debug)]
pub struct VmEditor {
    path: PathBuf,
    document: DocumentMut,
    new: bool,
}

impl VmEditor {
    /// Opens the description at `path`, or begins a new one where there is no
    /// such file.
    ///
    /// # Errors
    /// If there is a file and it is not a valid description.
    pub fn open(path: &Path) -> Result<Self, VmError> {
        let (text, new) = match text(path) {
            Ok(text) => (text, false),
            Err(VmError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                (TEMPLATE.to_owned(), true)
            }
            Err(error) => return Err(error),
        };
        VmFile::parse(path, &text)?;
        let document = document(path, &text)?;
        Ok(Self { path: path.to_owned(), document, new })
    }

    /// Opens a description that is to get an ID block: whatever ID block it has
    /// is not looked at, since it may be of another VM or policy. The second
    /// result is the description without it.
    ///
    /// # Errors
    /// If the file cannot be read or is otherwise no valid description.
    pub fn for_id_block(path: &Path) -> Result<(Self, VmFile), VmError> {
        let document = document(path, &text(path)?)?;
        let mut without = document.clone();
        if let Some(sev) = without.get_mut("sev").and_then(Item::as_table_like_mut) {
            for key in ["id_block", "id_auth", "author_key"] {
                sev.remove(key);
            }
        }
        let file = VmFile::parse(path, &without.to_string())?;
        Ok((Self { path: path.to_owned(), document, new: false }, file))
    }

    /// Whether there was no such file.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Sets `firmware`.
    ///
    /// # Errors
    /// If TOML cannot hold the name.
    pub fn set_firmware(&mut self, file: &Path) -> Result<(), VmError> {
        self.set_path("firmware", file)
    }

    /// Sets `kernel`.
    ///
    /// # Errors
    /// If TOML cannot hold the name.
    pub fn set_kernel(&mut self, file: &Path) -> Result<(), VmError> {
        self.set_path("kernel", file)
    }

    /// Sets `initrd`.
    ///
    /// # Errors
    /// If TOML cannot hold the name.
    pub fn set_initrd(&mut self, file: &Path) -> Result<(), VmError> {
        self.set_path("initrd", file)
    }

    /// Sets `simulation.kernel_modules`.
    ///
    /// # Errors
    /// If TOML cannot hold the name, or if `simulation` is not a table.
    pub fn set_simulation_modules(&mut self, directory: &Path) -> Result<(), VmError> {
        let directory = self.path_text(directory)?;
        let shape = VmError::Shape {
            path: self.path.clone(),
            key: "simulation",
            expected: "a table ([simulation])",
        };
        let table = self.document.entry("simulation").or_insert_with(|| Item::Table(Table::new()));
        put(table.as_table_like_mut().ok_or(shape)?, "kernel_modules", &directory);
        Ok(())
    }

    /// The command line that the VM will have with an image whose settings are
    /// `settings` (`ravelin.…=…` words).
    ///
    /// # Errors
    /// If the kernel would not take it whole, or PID 1 not at all.
    pub fn set_image(&mut self, settings: &str) -> Result<Cmdline, CmdlineError> {
        let current = self.document.get("cmdline").and_then(Item::as_str);
        let current = current.map(|line| Cmdline::try_from(line.to_owned())).transpose()?;
        let cmdline = Cmdline::with_image(current.as_ref(), settings)?;
        self.set_value("cmdline", cmdline.as_str());
        Ok(cmdline)
    }

    /// Sets `id_block` and `id_auth` of `[sev]`. Whether there is an author key
    /// follows from them.
    ///
    /// # Errors
    /// If `sev` is not a table.
    pub fn set_id_block(&mut self, block: &IdBlock, auth: &IdAuth) -> Result<(), VmError> {
        let shape =
            VmError::Shape { path: self.path.clone(), key: "sev", expected: "a table ([sev])" };
        let sev = self.document.entry("sev").or_insert_with(|| Item::Table(Table::new()));
        let sev = sev.as_table_like_mut().ok_or(shape)?;
        put(sev, "id_block", block.to_base64());
        put(sev, "id_auth", auth.to_base64());
        sev.remove("author_key");
        Ok(())
    }

    /// Lets `ravelin unlock` reach the VM: a new file gets `network.unlock_port`. One that
    /// was there stays as it is.
    ///
    /// # Errors
    /// If `network` is not a table.
    pub fn set_unlock_port(&mut self, port: u16) -> Result<(), VmError> {
        let shape = VmError::Shape {
            path: self.path.clone(),
            key: "network",
            expected: "a table ([network])",
        };
        if self.new {
            let table = self.document.entry("network").or_insert_with(|| Item::Table(Table::new()));
            let table = table.as_table_like_mut().ok_or(shape)?;
            table.insert("unlock_port", value(i64::from(port)));
        }
        Ok(())
    }

    /// Adds a disk, in place of the one with the same serial.
    ///
    /// A new disk is read-only unless it is to be `writable`, and one that is there already
    /// becomes writable then.
    ///
    /// # Errors
    /// If TOML cannot hold the name, or if `disks` is not a list of tables.
    pub fn set_disk(
        &mut self,
        file: &Path,
        serial: &Serial,
        writable: bool,
    ) -> Result<(), VmError> {
        let file = self.path_text(file)?;
        let shape = VmError::Shape {
            path: self.path.clone(),
            key: "disks",
            expected: "a list of tables ([[disks]])",
        };
        let disks = self.document.entry("disks");
        let disks = disks.or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let is_it = |table: &dyn TableLike| {
            table.get("serial").and_then(Item::as_str) == Some(serial.as_str())
        };
        match disks {
            Item::ArrayOfTables(tables) => {
                if let Some(table) = tables.iter_mut().find(|table| is_it(*table)) {
                    put(table, "file", &file);
                    make_writable(table, writable);
                } else {
                    let mut table = Table::new();
                    table.insert("file", value(file));
                    table.insert("serial", value(serial.as_str()));
                    table.insert("read_only", value(!writable));
                    tables.push(table);
                }
            }
            Item::Value(toml_edit::Value::Array(tables)) => {
                let found = tables
                    .iter_mut()
                    .filter_map(toml_edit::Value::as_inline_table_mut)
                    .find(|table| is_it(*table));
                if let Some(table) = found {
                    put(table, "file", &file);
                    make_writable(table, writable);
                } else {
                    let mut table = InlineTable::new();
                    table.insert("file", file.into());
                    table.insert("serial", serial.as_str().into());
                    table.insert("read_only", (!writable).into());
                    tables.push(table);
                }
            }
            Item::None | Item::Value(_) | Item::Table(_) => return Err(shape),
        }
        Ok(())
    }

    /// The new text, checked as it will be when it is read.
    ///
    /// # Errors
    /// If it is not a valid description.
    pub fn finish(mut self) -> Result<(String, VmFile), VmError> {
        if self.new {
            let rank = |key: &str| ORDER.iter().position(|name| *name == key);
            self.document.as_table_mut().sort_values_by(|a, _, b, _| {
                rank(a.get()).unwrap_or(usize::MAX).cmp(&rank(b.get()).unwrap_or(usize::MAX))
            });
        }
        let text = self.document.to_string();
        let file = VmFile::parse(&self.path, &text)?;
        Ok((text, file))
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If it is not a valid description or cannot be written.
    pub fn write(self) -> Result<VmFile, VmError> {
        let path = self.path.clone();
        let (text, file) = self.finish()?;
        let output = Output::create(&path)?;
        output
            .file()
            .write_all(text.as_bytes())
            .map_err(|source| VmError::Content { path, source })?;
        output.commit()?;
        Ok(file)
    }

    fn set_path(&mut self, key: &str, file: &Path) -> Result<(), VmError> {
        let file = self.path_text(file)?;
        self.set_value(key, &file);
        Ok(())
    }

    fn set_value(&mut self, key: &str, new: &str) {
        put(self.document.as_table_mut(), key, new);
    }

    /// How the file is named in the description: relative where it is below
    /// the description's directory, absolute elsewhere.
    fn path_text(&self, file: &Path) -> Result<String, VmError> {
        let read = |source| VmError::Read { path: file.to_owned(), source };
        let canonical = |directory: PathBuf| directory.canonicalize().unwrap_or(directory);
        let base = canonical(directory_of(&self.path).map_err(read)?);
        let absolute =
            canonical(directory_of(file).map_err(read)?).join(file.file_name().unwrap_or_default());
        let shown = absolute.strip_prefix(&base).unwrap_or(&absolute);
        match shown.to_str() {
            Some(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
            _ => Err(VmError::PathText { path: file.to_owned() }),
        }
    }
}

fn document(path: &Path, text: &str) -> Result<DocumentMut, VmError> {
    text.parse::<DocumentMut>().map_err(|error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        let message = one_line(error.message());
        VmError::Syntax { path: path.to_owned(), line, column, message }
    })
}

fn make_writable(disk: &mut dyn TableLike, writable: bool) {
    if writable {
        put(disk, "read_only", false);
    }
}

/// Sets a value and keeps the comments around it and its key.
fn put(table: &mut dyn TableLike, key: &str, new: impl Into<toml_edit::Value>) {
    let mut item = value(new);
    match table.get_mut(key) {
        Some(slot) => {
            if let (Some(old), Some(new)) = (slot.as_value(), item.as_value_mut()) {
                *new.decor_mut() = old.decor().clone();
            }
            *slot = item;
        }
        None => {
            table.insert(key, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SETTINGS: &str = "ravelin.root.mode=verity ravelin.verity.salt=-";

    fn serial(text: &str) -> Serial {
        Serial::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_new_file_round_trips() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        let mut editor = VmEditor::open(&path).unwrap();
        assert!(editor.is_new());
        editor
            .set_disk(&directory.path().join("root.img"), &serial("ravelin-root"), false)
            .unwrap();
        editor.set_image(SETTINGS).unwrap();
        editor.set_initrd(&directory.path().join("sub/initramfs.cpio")).unwrap();
        editor.set_kernel(Path::new("/boot/vmlinuz")).unwrap();
        let written = editor.write().unwrap();

        let text = std::fs::read_to_string(&path).unwrap();
        let keys: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            keys,
            [
                "format",
                "vcpus",
                "cpu",
                "kernel",
                "initrd",
                "cmdline",
                "memory",
                "ssh_port",
                "attest_port",
                "policy",
                "file",
                "serial",
                "read_only"
            ]
        );
        assert!(text.contains("initrd = \"sub/initramfs.cpio\"\n"), "{text}");
        assert!(text.contains("kernel = \"/boot/vmlinuz\"\n"), "{text}");
        assert!(text.contains("\n[[disks]]\nfile = \"root.img\"\n"), "{text}");
        let read = VmFile::read(&path).unwrap();
        assert_eq!(read.vm(), written.vm());
        assert_eq!(read.resolve(&read.vm().disks[0].file), directory.path().join("root.img"));

        // The same again changes nothing.
        let mut editor = VmEditor::open(&path).unwrap();
        assert!(!editor.is_new());
        editor
            .set_disk(&directory.path().join("root.img"), &serial("ravelin-root"), false)
            .unwrap();
        editor.set_image(SETTINGS).unwrap();
        assert_eq!(editor.finish().unwrap().0, text);
    }

    #[test]
    fn what_the_owner_wrote_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        let old = "# mine\nmemory   = \"512M\" # small\nformat=1\n\n# the kernel\nkernel = 'k' # old\n\
                   cmdline = \"quiet ravelin.verity.salt=aa\"\n\n[sev]\npolicy = 0x3_0000 # hex\n\n\
                   [[disks]]\n# that one\nfile = \"a\" # first\nserial = \"x\"\nread_only = false\n";
        std::fs::write(&path, old).unwrap();
        let mut editor = VmEditor::open(&path).unwrap();
        editor.set_kernel(&directory.path().join("new")).unwrap();
        editor.set_image(SETTINGS).unwrap();
        editor.set_disk(&directory.path().join("c"), &serial("x"), false).unwrap();
        editor.set_disk(&directory.path().join("b"), &serial("y"), false).unwrap();
        let (text, _) = editor.finish().unwrap();
        let expected = old
            .replace("'k' # old", "\"new\" # old")
            .replace("\"a\" # first", "\"c\" # first")
            .replace("quiet ravelin.verity.salt=aa", &format!("quiet {SETTINGS}"))
            + "\n[[disks]]\nfile = \"b\"\nserial = \"y\"\nread_only = true\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn inline_disks_are_updated_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        std::fs::write(&path, "format = 1\ndisks = [{ file = \"a\", serial = \"x\" }]\n").unwrap();
        let mut editor = VmEditor::open(&path).unwrap();
        editor.set_disk(&directory.path().join("b"), &serial("x"), false).unwrap();
        editor.set_disk(&directory.path().join("c"), &serial("y"), false).unwrap();
        let (_, file) = editor.finish().unwrap();
        let files: Vec<_> = file.vm().disks.iter().map(|disk| disk.file.clone()).collect();
        assert_eq!(files, [Path::new("b"), Path::new("c")]);
    }

    #[test]
    fn a_disk_to_be_written_to_is_writable_however_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        for disks in [
            "",
            "[[disks]]\nfile = \"a\"\nserial = \"x\"\n",
            "[[disks]]\nfile = \"a\"\nserial = \"x\"\nread_only = true\n",
            "disks = [{ file = \"a\", serial = \"x\" }]\n",
            "disks = []\n",
        ] {
            std::fs::write(&path, format!("format = 1\n{disks}")).unwrap();
            let mut editor = VmEditor::open(&path).unwrap();
            editor.set_disk(&directory.path().join("b"), &serial("x"), true).unwrap();
            editor.set_unlock_port(4778).unwrap();
            let (text, file) = editor.finish().unwrap();
            assert!(!file.vm().disks[0].read_only, "{text}");
            assert!(!text.contains("unlock_port"), "what is there already stays: {text}");
        }
        fs::remove_file(&path).unwrap();
        let mut editor = VmEditor::open(&path).unwrap();
        editor.set_unlock_port(4778).unwrap();
        let (text, file) = editor.finish().unwrap();
        let port = file.vm().network.as_ref().unwrap().unlock_port.map(|port| port.get());
        assert_eq!(port, Some(4778), "{text}");
    }

    #[test]
    fn a_file_elsewhere_is_named_absolutely() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("vms")).unwrap();
        let editor = VmEditor::open(&base.join("vms/vm.toml")).unwrap();
        let text = editor.path_text(&base.join("vms/../root.img")).unwrap();
        assert_eq!(Path::new(&text), base.join("root.img"));
        let bad = editor.path_text(&base.join("vms/a\nb"));
        assert!(matches!(bad, Err(VmError::PathText { .. })));
    }

    #[test]
    fn a_broken_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        std::fs::write(&path, "format = 1\nkernal = \"k\"\n").unwrap();
        assert!(matches!(VmEditor::open(&path), Err(VmError::Syntax { line: 2, .. })));
    }

    #[test]
    fn the_modules_of_a_simulation_have_their_own_table() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.toml");
        let modules = |file: &VmFile| file.vm().simulation.kernel_modules.clone();
        let mut new = VmEditor::open(&path).unwrap();
        new.set_simulation_modules(&directory.path().join("lib/modules/6.12")).unwrap();
        let (text, file) = new.finish().unwrap();
        assert_eq!(modules(&file), Some("lib/modules/6.12".into()), "{text}");
        assert!(text.ends_with("[simulation]\nkernel_modules = \"lib/modules/6.12\"\n"), "{text}");

        fs::write(&path, text.replace("lib/modules/6.12\"", "old\" # mine")).unwrap();
        let mut old = VmEditor::open(&path).unwrap();
        old.set_simulation_modules(Path::new("/lib/modules/6.13")).unwrap();
        let (text, _) = old.finish().unwrap();
        assert!(text.ends_with("kernel_modules = \"/lib/modules/6.13\" # mine\n"), "{text}");
    }
}
