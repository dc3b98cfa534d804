//! Which file of the program imports which, read from the text of their `use` statements and paths.
//!
//! Apart from the test that asks, because it is a small parser. Tests inside the files are left out, and so is what a
//! child imports from its own ancestors: a module and its own children may know each other.

use std::collections::{BTreeMap, BTreeSet};

/// The text of each module by its path, `environment::kubernetes::lock`.
pub type Modules = BTreeMap<String, String>;

/// What each module imports.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The path of the module in a file below `src`.
pub fn module(file: &str) -> String {
    file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

pub fn graph(modules: &Modules) -> Graph {
    let imports = |(module, text): (&String, &String)| {
        let paths = paths(text).into_iter();
        let mut targets: BTreeSet<_> = paths.filter_map(|path| resolve(modules, module, &path)).collect();
        targets.retain(|target| target != module && !module.starts_with(&format!("{target}::")));
        (module.clone(), targets)
    };
    modules.iter().map(imports).collect()
}

/// A way from a module through its imports back to itself, if there is one.
pub fn cycle(graph: &Graph) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| walk(graph, start, &mut vec![], &mut done))
}

fn walk(graph: &Graph, at: &str, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if let Some(from) = way.iter().position(|known| known == at) {
        return Some([&way[from..], &[at.to_owned()]].concat());
    }
    if done.contains(at) {
        return None;
    }
    way.push(at.to_owned());
    let found = graph.get(at).into_iter().flatten().find_map(|next| walk(graph, next, way, done));
    way.pop();
    done.insert(at.to_owned());
    found
}

/// The module that defines what a path names: where a module only passes a name on, the one that it comes from.
fn resolve(modules: &Modules, from: &str, path: &str) -> Option<String> {
    let parent = |module: &str| module.rsplit_once("::").map_or("", |(parent, _)| parent).to_owned();
    let (mut base, mut rest) = (from.to_owned(), path);
    if let Some(inner) = rest.strip_prefix("crate::") {
        (base, rest) = (String::new(), inner);
    }
    while let Some(inner) = rest.strip_prefix("super::") {
        (base, rest) = (parent(&base), inner);
    }
    let mut names = rest.trim_start_matches("self::").split("::").peekable();
    let join = |base: &str, name: &str| if base.is_empty() { name.to_owned() } else { format!("{base}::{name}") };
    while let Some(name) = names.peek().filter(|name| modules.contains_key(&join(&base, name))) {
        base = join(&base, name);
        names.next();
    }
    let text = modules.get(&base)?;
    let passed_on = names.next().and_then(|name| {
        let mut exports =
            statements(text).into_iter().filter(|(is_public, _)| *is_public).flat_map(|(_, tree)| expand(tree));
        exports.find(|path| path.rsplit("::").next() == Some(name))
    });
    match passed_on {
        Some(path) => resolve(modules, &base, &path),
        None => Some(base),
    }
}

/// All paths that a text names, in `use` statements and elsewhere.
fn paths(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found: Vec<_> = statements(&code).into_iter().flat_map(|(_, tree)| expand(tree)).collect();
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_path(c)).filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    found.extend(words.filter(|word| !word.ends_with(':')).map(str::to_owned));
    found
}

/// The `use` statements of a text: is it public, and its tree.
fn statements(text: &str) -> Vec<(bool, &str)> {
    let starts = ["use ", "pub use ", "pub(super) use ", "pub(crate) use "];
    let mut found = vec![];
    for (at, _) in text.match_indices("use ") {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let Some(end) = text[at..].find(';') else { continue };
        if starts.contains(&&text[line..at + "use ".len()]) {
            found.push((line < at, &text[at + "use ".len()..at + end]));
        }
    }
    found
}

/// `a::{b, c::{d, self}}` as `a::b`, `a::c::d` and `a::c`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let inside = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let (mut depth, mut parts, mut part) = (0, vec![], String::new());
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    let named = parts.iter().filter(|part| !part.trim().is_empty());
    named.flat_map(|part| expand(&format!("{}{}", before.trim(), part.trim()))).collect()
}
