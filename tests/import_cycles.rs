//! No cycle of files: what two files of a crate need from each other has a file of its own, so that every file can be
//! read after those that it uses. This test reads the imports of every crate of the workspace, unit tests left out, and
//! names the cycles that it finds.
//!
//! A file uses another one when a path in it (an import, or a path in the code) names an item that is defined there.
//! Behind a re-export it is the file of the item that counts. `mod` declarations do not count, nor do calls of methods
//! whose type the file does not name.

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

type ModuleId = usize;

/// A module, in a file of its own or inside another one.
#[derive(Default)]
struct Module {
    file: PathBuf,
    parent: ModuleId,
    names: BTreeMap<String, Name>,
    /// Paths of `use path::*`.
    globs: Vec<Vec<String>>,
    /// All paths in its code, imports among them.
    paths: BTreeSet<Vec<String>>,
}

#[derive(Clone)]
enum Name {
    /// Defined in this file.
    Item(PathBuf),
    Module(ModuleId),
    Import(Vec<String>),
}

/// What a path leads to.
enum Target {
    Item(PathBuf),
    Module(ModuleId),
}

/// The modules of one crate; the first is its root.
#[derive(Default)]
struct Crate {
    modules: Vec<Module>,
}

/// Longest chain of imports that is followed.
const IMPORTS_MAX: usize = 32;

impl Crate {
    fn read(root_file: &Path) -> Self {
        let mut found = Crate::default();
        let folder = root_file.parent().unwrap().to_owned();
        found.read_file(root_file, folder, 0);
        found
    }

    /// `folder`: where the files of its submodules are.
    fn read_file(&mut self, file: &Path, folder: PathBuf, parent: ModuleId) -> ModuleId {
        let source = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_module(&parsed.items, file, &folder, parent)
    }

    fn read_module(&mut self, items: &[Item], file: &Path, folder: &Path, parent: ModuleId) -> ModuleId {
        let id = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, ..Module::default() });
        let mut reader = Reader::default();
        for item in items {
            if let Item::Mod(module) = item {
                if !is_test(&module.attrs) {
                    let child = self.read_child(module, file, folder, id);
                    self.modules[id].names.insert(module.ident.to_string(), Name::Module(child));
                }
                continue;
            }
            if let Some(name) = name_of(item) {
                let defined = Name::Item(file.to_owned());
                if matches!(item, Item::Macro(item) if item.attrs.iter().any(|a| a.path().is_ident("macro_export"))) {
                    self.modules[0].names.insert(name.clone(), defined.clone());
                }
                self.modules[id].names.insert(name, defined);
            }
            reader.visit_item(item);
        }
        let module = &mut self.modules[id];
        for (name, path) in reader.imports {
            module.paths.insert(path.clone());
            module.names.entry(name).or_insert(Name::Import(path));
        }
        module.globs = reader.globs;
        module.paths.extend(reader.paths);
        id
    }

    fn read_child(&mut self, module: &syn::ItemMod, file: &Path, folder: &Path, parent: ModuleId) -> ModuleId {
        let name = module.ident.to_string();
        let inside = folder.join(&name);
        if let Some((_, items)) = &module.content {
            return self.read_module(items, file, &inside, parent);
        }
        if let Some(path) = module.attrs.iter().find_map(path_attribute) {
            // Its submodules are beside it.
            let given = file.parent().unwrap().join(path).canonicalize().unwrap();
            return self.read_file(&given, given.parent().unwrap().to_owned(), parent);
        }
        let candidates = [folder.join(format!("{name}.rs")), inside.join("mod.rs")];
        let found = candidates.iter().find(|candidate| candidate.exists());
        let found = found.unwrap_or_else(|| panic!("{}: no file for mod {name}", file.display()));
        self.read_file(found, inside, parent)
    }

    fn resolve(&self, module: ModuleId, path: &[String], imports: usize) -> Option<Target> {
        if imports > IMPORTS_MAX {
            return None;
        }
        let mut at = module;
        let mut rest = path;
        while let [first, behind @ ..] = rest {
            match first.as_str() {
                "crate" => at = 0,
                "self" => {}
                "super" => at = self.modules[at].parent,
                name => match self.look_up(at, name, imports)? {
                    Target::Module(child) => at = child,
                    item => return Some(item),
                },
            }
            rest = behind;
        }
        Some(Target::Module(at))
    }

    fn look_up(&self, module: ModuleId, name: &str, imports: usize) -> Option<Target> {
        let known = &self.modules[module];
        match known.names.get(name) {
            Some(Name::Item(file)) => Some(Target::Item(file.clone())),
            Some(Name::Module(child)) => Some(Target::Module(*child)),
            // An import that leads out of the crate leads nowhere here; `use log;` would lead to itself.
            Some(Name::Import(path)) if path.len() == 1 && path[0] == name => None,
            Some(Name::Import(path)) => self.resolve(module, path, imports + 1),
            None => known.globs.iter().find_map(|glob| match self.resolve(module, glob, imports + 1)? {
                Target::Module(of) if of != module => self.look_up(of, name, imports + 1),
                _ => None,
            }),
        }
    }

    /// Which file uses which, with one of the paths that show it.
    fn uses(&self) -> BTreeMap<(PathBuf, PathBuf), String> {
        let mut uses = BTreeMap::new();
        for (id, module) in self.modules.iter().enumerate() {
            for path in &module.paths {
                if let Some(Target::Item(file)) = self.resolve(id, path, 0)
                    && file != module.file
                {
                    uses.entry((module.file.clone(), file)).or_insert_with(|| path.join("::"));
                }
            }
        }
        uses
    }
}

/// Reads the paths of what is not a test.
#[derive(Default)]
struct Reader {
    imports: Vec<(String, Vec<String>)>,
    globs: Vec<Vec<String>>,
    paths: BTreeSet<Vec<String>>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.read_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.read_tokens(TokenBuffer::new2(call.tokens.clone()).begin());
    }

    // `pub(crate)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

impl Reader {
    fn read_tree(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.read_tree(&step.tree, path);
                path.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.read_tree(tree, path)),
            UseTree::Glob(_) => {
                self.paths.insert(path.clone());
                self.globs.push(path.clone());
            }
            UseTree::Name(name) if name.ident == "self" => self.import(path.last().cloned(), path.clone()),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.import(Some(name.clone()), path.iter().cloned().chain([name]).collect());
            }
            UseTree::Rename(renamed) => {
                let name = renamed.ident.to_string();
                self.import(Some(renamed.rename.to_string()), path.iter().cloned().chain([name]).collect());
            }
        }
    }

    fn import(&mut self, name: Option<String>, path: Vec<String>) {
        self.imports.extend(name.map(|name| (name, path)));
    }

    /// What a macro is given is not parsed: every `a::b` in it counts as a path.
    fn read_tokens(&mut self, mut cursor: Cursor<'_>) {
        while !cursor.eof() {
            if let Some((ident, mut behind)) = cursor.ident() {
                let mut path = vec![ident.to_string()];
                while let Some((next, after)) = path_step(behind) {
                    path.push(next);
                    behind = after;
                }
                self.paths.insert(path);
                cursor = behind;
            } else if let Some((inside, _, _, behind)) = cursor.any_group() {
                self.read_tokens(inside);
                cursor = behind;
            } else {
                cursor = cursor.token_tree().expect("not at the end").1;
            }
        }
    }
}

/// `::name`.
fn path_step(cursor: Cursor<'_>) -> Option<(String, Cursor<'_>)> {
    let (first, cursor) = cursor.punct()?;
    let (second, cursor) = cursor.punct()?;
    let (name, cursor) = cursor.ident()?;
    (first.as_char() == ':' && second.as_char() == ':').then(|| (name.to_string(), cursor))
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue { path, value: syn::Expr::Lit(value), .. })
            if path.is_ident("path") =>
        {
            match &value.lit {
                syn::Lit::Str(path) => Some(path.value()),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item has in its module; imports and modules are looked at elsewhere.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    (!is_test(attributes(item))).then(|| name.to_string())
}

/// A message for each strongly connected component of the files: a shortest cycle of it, and all its files.
fn cycles(uses: &BTreeMap<(PathBuf, PathBuf), String>, folder: &Path) -> Vec<String> {
    let graph: DiGraphMap<&Path, ()> = uses.keys().map(|(user, used)| (user.as_path(), used.as_path())).collect();
    let components = tarjan_scc(&graph).into_iter().filter(|component| component.len() > 1);
    let messages = components.map(|mut component| {
        component.sort_unstable();
        let shortest = component.iter().filter_map(|file| cycle_through(&graph, file)).min_by_key(Vec::len).unwrap();
        let shown = |file: &Path| file.strip_prefix(folder).unwrap_or(file).display().to_string();
        let steps = shortest.iter().zip(shortest.iter().cycle().skip(1)).map(|(user, used)| {
            let path = &uses[&((*user).to_owned(), (*used).to_owned())];
            format!("{} uses {} ({path})", shown(user), shown(used))
        });
        let steps: Vec<_> = steps.collect();
        format!(
            "files import each other in a cycle, so that none can be read before the others: {}; {} files are part of such cycles: \
             {}. Move what they share into a file of its own.",
            steps.join(", "),
            component.len(),
            component.into_iter().map(shown).collect::<Vec<_>>().join(", ")
        )
    });
    let mut messages: Vec<_> = messages.collect();
    messages.sort();
    messages
}

/// A shortest cycle through a file.
fn cycle_through<'a>(graph: &DiGraphMap<&'a Path, ()>, file: &'a Path) -> Option<Vec<&'a Path>> {
    let mut before: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut waiting = VecDeque::from([file]);
    while let Some(user) = waiting.pop_front() {
        for used in graph.neighbors(user) {
            if used == file {
                let mut cycle = vec![user];
                while let Some(user) = before.get(cycle.last()?) {
                    cycle.push(user);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !before.contains_key(used) {
                before.insert(used, user);
                waiting.push_back(used);
            }
        }
    }
    None
}

/// The crates of the workspace: the folder of their package, relative to the root, and their first file.
fn crates() -> Vec<(PathBuf, PathBuf)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let path = |value: &serde_json::Value| PathBuf::from(value.as_str().unwrap());
    let workspace = path(&metadata["workspace_root"]);
    let packages = metadata["packages"].as_array().unwrap().iter();
    let crates = packages.flat_map(|package| {
        let folder = path(&package["manifest_path"]).parent().unwrap().strip_prefix(&workspace).unwrap().to_owned();
        let targets = package["targets"].as_array().unwrap().iter();
        targets.map(move |target| (folder.clone(), path(&target["src_path"]))).collect::<Vec<_>>()
    });
    crates.collect()
}

#[test]
fn no_file_is_part_of_a_cycle() {
    let mut packages = BTreeSet::new();
    let mut faults = Vec::new();
    for (package, first_file) in crates() {
        faults.extend(cycles(&Crate::read(&first_file).uses(), root()));
        packages.insert(package);
    }
    assert!(packages.len() > 10, "every package of the workspace is read");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Writes a crate of these files and reads it.
fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, source).unwrap();
    }
    cycles(&Crate::read(&folder.path().join("lib.rs")).uses(), folder.path())
}

#[test]
fn a_cycle_is_found_and_named() {
    let found = cycles_of(&[
        ("lib.rs", "mod one; mod two; mod three; pub use one::One;"),
        ("one.rs", "use crate::two::*; pub struct One; fn f() -> Two { Two }"),
        ("two.rs", "pub struct Two; fn f() { let _ = vec![crate::three::three()]; }"),
        ("three.rs", "pub fn three() -> super::One { super::One }"),
    ]);
    assert_eq!(found.len(), 1);
    for part in
        ["one.rs uses two.rs (Two)", "two.rs uses three.rs (crate::three::three)", "three.rs uses one.rs (super::One)"]
    {
        assert!(found[0].contains(part), "{part} is in {}", found[0]);
    }
}

#[test]
fn a_file_and_its_parent_can_make_a_cycle() {
    let parent = "mod child; pub struct Parent(child::Child);";
    let found = cycles_of(&[
        ("lib.rs", "mod parent;"),
        ("parent.rs", parent),
        ("parent/child.rs", "pub struct Child; impl Child { fn of(parent: &super::Parent) {} }"),
    ]);
    assert!(found.len() == 1 && found[0].contains("parent/child.rs uses parent.rs (super::Parent)"), "{found:?}");
    let shared = [("lib.rs", "mod parent;"), ("parent.rs", parent), ("parent/child.rs", "pub struct Child;")];
    assert_eq!(cycles_of(&shared), Vec::<String>::new());
}

#[test]
fn tests_declarations_and_re_exports_make_no_cycle() {
    let found = cycles_of(&[
        ("lib.rs", "mod one; mod two; pub use one::One; pub use two::{Two as Second};"),
        ("one.rs", "use crate::Second; pub struct One(Second); #[cfg(test)] mod tests { use crate::two::Two; }"),
        ("two.rs", "pub struct Two; #[cfg(test)] mod tests { use crate::One; } #[cfg(test)] fn f(_: crate::One) {}"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}
