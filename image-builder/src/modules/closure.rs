//! The closure: from what is asked for to the modules that must be loaded, with
//! all that they depend on, and their order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use kernel_config::{Need, option_for_module};
use protocol::layout;
use protocol::load_order::{LoadOrder, LoadOrderError, MAX_MODULES, Module};

use super::error::ModuleError;
use super::graph::waves;
use super::modinfo::canonical;
use super::request::{Request, What};
use super::tree::ModuleTree;

/// The most that all modules of an image may be, in bytes.
const MAX_TOTAL_BYTES: usize = 128 << 20;

/// The modules of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// In which order PID 1 loads them.
    pub order: LoadOrder,
    /// Their files, in the order of [`Closure::order`].
    pub files: Vec<ModuleFile>,
    /// What was asked for, or depended on, and needs no file.
    pub built_in: BTreeSet<String>,
    /// What a user may want to know.
    pub notes: Vec<Note>,
}

/// The file of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Absolute path inside the initramfs.
    pub path: String,
    /// The module, decompressed; its signature, if it has one, is part of it.
    pub content: Vec<u8>,
}

/// Something that is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// An optional module is not there.
    Skipped {
        /// The module or alias.
        module: String,
        /// Who would have liked it.
        wanted_by: String,
    },
    /// A module that is never loaded is built into this kernel, which no module
    /// list can help.
    RefusedBuiltIn {
        /// The module.
        module: &'static str,
        /// Why it should not be there.
        reason: &'static str,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped { module, wanted_by } => {
                write!(f, "{module}, which {wanted_by} would use, is not in this kernel")
            }
            Self::RefusedBuiltIn { module, reason } => {
                write!(f, "{module} is built into this kernel, and should not be: {reason}")
            }
        }
    }
}

impl ModuleTree {
    /// The modules that `requests` ask for, with all that they depend on.
    ///
    /// Dependencies are those that each module states: `depends` (needed), and
    /// the soft dependencies `pre` and `post` (taken along, optional, where the
    /// kernel has them). The order of the requests does not matter.
    ///
    /// # Errors
    /// When a module is missing, refused, damaged, built for another kernel, or
    /// depends on itself.
    pub fn closure(&self, requests: &[Request]) -> Result<Closure, ModuleError> {
        let mut search = Search::new(self);
        // Sorted: the order in which a user writes a list is not an input.
        for request in requests.iter().collect::<BTreeSet<_>>() {
            search.request(request)?;
        }
        while let Some(module) = search.pending.pop_front() {
            search.visit(&module)?;
        }
        search.finish()
    }
}

struct Found {
    path: String,
    content: Vec<u8>,
    depends: Vec<String>,
    /// Modules that are loaded before or after it if they are there at all.
    before: Vec<String>,
    after: Vec<String>,
}

struct Search<'a> {
    tree: &'a ModuleTree,
    /// Everything that was asked for, and by whom first.
    wanted: BTreeMap<String, String>,
    required: BTreeSet<String>,
    pending: VecDeque<String>,
    found: BTreeMap<String, Found>,
    built_in: BTreeSet<String>,
    skipped: BTreeMap<String, String>,
    bytes: usize,
}

impl<'a> Search<'a> {
    fn new(tree: &'a ModuleTree) -> Self {
        Self {
            tree,
            wanted: BTreeMap::new(),
            required: BTreeSet::new(),
            pending: VecDeque::new(),
            found: BTreeMap::new(),
            built_in: BTreeSet::new(),
            skipped: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn request(&mut self, request: &Request) -> Result<(), ModuleError> {
        let Request { what, required, wanted_by } = request;
        match what {
            What::Module(name) if *required => {
                let module = canonical(name);
                if let Some(module) = self.need(&module, wanted_by)? {
                    self.required.insert(module);
                }
            }
            What::Driver(name) => {
                self.need(&canonical(name), wanted_by)?;
            }
            What::Module(name) => {
                // Asked for by name: that it is refused is said.
                if let Some(reason) = refusal(&canonical(name)) {
                    return Err(refused(&canonical(name), wanted_by, reason));
                }
                self.soft(name, wanted_by)?;
            }
            What::Algorithm(name) => self.algorithm(name, *required, wanted_by)?,
        }
        Ok(())
    }

    /// A module that must be there; `None` when it is built in.
    fn need(&mut self, module: &str, wanted_by: &str) -> Result<Option<String>, ModuleError> {
        if let Some(reason) = refusal(module) {
            return Err(refused(module, wanted_by, reason));
        }
        if self.tree.has_file(module) {
            self.want(module, wanted_by);
            return Ok(Some(module.to_owned()));
        }
        if self.tree.is_built_in(module) {
            self.built_in.insert(module.to_owned());
            return Ok(None);
        }
        Err(ModuleError::Missing {
            module: module.to_owned(),
            wanted_by: wanted_by.to_owned(),
            kernel: self.tree.kernel().to_owned(),
        })
    }

    /// A module or alias that is taken along if it is there, in the order in
    /// which modprobe looks for it: a module's file, an alias, what is built in.
    /// Returns the modules.
    fn soft(&mut self, name: &str, wanted_by: &str) -> Result<Vec<String>, ModuleError> {
        let module = canonical(name);
        let mut modules = if self.tree.has_file(&module) {
            vec![module.clone()]
        } else if self.tree.is_built_in(&module) {
            self.built_in.insert(module.clone());
            Vec::new()
        } else {
            let modules = self.tree.modules_of_alias(name)?;
            if modules.is_empty() {
                if self.tree.is_built_in_alias(name) {
                    self.built_in.insert(name.to_owned());
                } else {
                    self.skipped.entry(name.to_owned()).or_insert_with(|| wanted_by.to_owned());
                }
            }
            modules
        };
        modules.retain(|module| {
            let refused = refusal(module).is_some();
            if refused {
                self.skipped.entry(module.clone()).or_insert_with(|| wanted_by.to_owned());
            }
            !refused
        });
        for module in &modules {
            self.want(module, wanted_by);
        }
        Ok(modules)
    }

    /// An algorithm: built in, or the module of its portable implementation, and
    /// all others as optional ones.
    fn algorithm(
        &mut self,
        name: &str,
        required: bool,
        wanted_by: &str,
    ) -> Result<(), ModuleError> {
        let alias = format!("crypto-{name}");
        let modules = self.tree.modules_of_alias(&alias)?;
        for module in &modules {
            self.want(module, wanted_by);
        }
        if self.tree.is_built_in_alias(&alias) {
            self.built_in.insert(name.to_owned());
            return Ok(());
        }
        if !required {
            if modules.is_empty() {
                self.skipped.entry(alias).or_insert_with(|| wanted_by.to_owned());
            }
            return Ok(());
        }
        let portable = [format!("{}_generic", canonical(name)), canonical(name)];
        let portable = modules.iter().find(|module| portable.contains(*module));
        match (portable, modules.as_slice()) {
            (Some(module), _) | (None, [module]) => {
                self.required.insert(module.clone());
                Ok(())
            }
            (None, []) => Err(ModuleError::MissingAlgorithm {
                algorithm: name.to_owned(),
                wanted_by: wanted_by.to_owned(),
                kernel: self.tree.kernel().to_owned(),
            }),
            // Each needs some CPU; which one PID 1 runs on is not known here.
            (None, _) => Ok(()),
        }
    }

    fn want(&mut self, module: &str, wanted_by: &str) {
        if !self.wanted.contains_key(module) {
            self.wanted.insert(module.to_owned(), wanted_by.to_owned());
            self.pending.push_back(module.to_owned());
        }
    }

    fn visit(&mut self, module: &str) -> Result<(), ModuleError> {
        if self.found.len() >= MAX_MODULES {
            return Err(LoadOrderError::TooManyModules.into());
        }
        // That there is a file was checked when it was wanted.
        let Some(location) = self.tree.location(module)? else { return Ok(()) };
        let (content, info) = self.tree.load(location)?;
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(ModuleError::TooLargeTogether { limit: MAX_TOTAL_BYTES });
        }
        let by = format!("module {module}");
        let mut depends = Vec::new();
        for name in &info.depends {
            depends.extend(self.need(name, &by)?);
        }
        let mut before = Vec::new();
        for name in &info.pre {
            before.extend(self.soft(name, &by)?);
        }
        let mut after = Vec::new();
        for name in &info.post {
            after.extend(self.soft(name, &by)?);
        }
        let path = format!("{}/{}/{}", layout::MODULES, self.tree.kernel(), location.path);
        self.found.insert(module.to_owned(), Found { path, content, depends, before, after });
        Ok(())
    }

    fn finish(mut self) -> Result<Closure, ModuleError> {
        self.spread_required();
        let mut before: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, found) in &self.found {
            let list = before.entry(module).or_default();
            list.extend(found.depends.iter().chain(&found.before).map(String::as_str));
            for later in &found.after {
                before.entry(later).or_default().insert(module);
            }
        }
        let waves = waves(&before).map_err(|modules| ModuleError::Cycle { modules })?;
        let mut modules: Vec<(Module, Vec<u8>)> = Vec::new();
        for (name, found) in self.found {
            let wave = waves.get(&name).copied().unwrap_or_default();
            let required = self.required.contains(&name);
            modules.push((Module { wave, required, path: found.path }, found.content));
        }
        modules.sort_by(|(a, _), (b, _)| (a.wave, &a.path).cmp(&(b.wave, &b.path)));
        let mut files = Vec::with_capacity(modules.len());
        let mut order = LoadOrder { kernel: self.tree.kernel().to_owned(), modules: Vec::new() };
        for (module, content) in modules {
            files.push(ModuleFile { path: module.path.clone(), content });
            order.modules.push(module);
        }
        order.check()?;
        let mut notes: Vec<Note> = self
            .skipped
            .into_iter()
            .map(|(module, wanted_by)| Note::Skipped { module, wanted_by })
            .collect();
        for option in kernel_config::OPTIONS.iter().filter(|option| option.need == Need::Never) {
            if let Some(module) = option.module
                && self.tree.is_built_in(module)
            {
                notes.push(Note::RefusedBuiltIn { module, reason: option.reason });
            }
        }
        Ok(Closure { order, files, built_in: self.built_in, notes })
    }

    /// What a required module depends on is required.
    fn spread_required(&mut self) {
        let mut pending: Vec<String> = self.required.iter().cloned().collect();
        while let Some(module) = pending.pop() {
            for needed in self.found.get(&module).iter().flat_map(|found| &found.depends) {
                if self.required.insert(needed.clone()) {
                    pending.push(needed.clone());
                }
            }
        }
    }
}

/// Why a module is never loaded, if it is not.
fn refusal(module: &str) -> Option<&'static str> {
    option_for_module(module)
        .filter(|option| option.need == Need::Never)
        .map(|option| option.reason)
}

fn refused(module: &str, wanted_by: &str, reason: &'static str) -> ModuleError {
    let (module, wanted_by) = (module.to_owned(), wanted_by.to_owned());
    ModuleError::Refused { module, wanted_by, reason }
}
