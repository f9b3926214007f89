//! One file: `<configuration>` with `<property>` elements, and what XInclude brings in.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use roxmltree::{Document, Node, ParsingOptions};
use rustix::fs::OFlags;

use super::{FilePosition, HadoopError};

/// Files within files, at most: one that includes itself would never end.
const DEPTH: usize = 16;
/// Files included in all, at most: one that includes itself twice would not end either.
const FILES: usize = 256;
/// Elements and texts of a file, entities replaced.
const MAX_NODES: u32 = 1 << 20;
/// A larger file is no configuration.
const MAX_BYTES: u64 = 16 << 20;

/// A `<property>` as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlProperty {
    /// Its name, trimmed.
    pub name: String,
    /// Its value as written; `None` without a `<value>`, which counts as not set.
    pub value: Option<String>,
    /// Whether later files may not change it.
    pub last: bool,
    /// Where it begins.
    pub position: FilePosition,
}

/// Reads a file and all that it includes.
pub(super) fn read(path: &Path) -> Result<Vec<XmlProperty>, HadoopError> {
    let text = load(path).map_err(|error| {
        HadoopError::at(None, format!("failed to read {}: {error}", path.display()))
    })?;
    parse(&text, path, &load)
}

/// Reads a regular file. It does not wait for the other end of a FIFO.
fn load(path: &Path) -> io::Result<String> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

/// Parses the text of the file `path`; `load` fetches what it includes.
///
/// # Errors
/// What is no XML, no configuration, or includes what cannot be read; with its line.
pub fn parse(
    text: &str,
    path: &Path,
    load: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Vec<XmlProperty>, HadoopError> {
    let mut reader = SettingsReader {
        load,
        properties: vec![],
        included: 0,
    };
    reader.file(text, path, DEPTH)?;
    Ok(reader.properties)
}

struct SettingsReader<'a> {
    load: &'a dyn Fn(&Path) -> io::Result<String>,
    properties: Vec<XmlProperty>,
    included: usize,
}

/// A file while it is read.
struct File<'a, 'input> {
    path: Arc<Path>,
    document: &'a Document<'input>,
    /// Files that may still be included within it.
    depth: usize,
}

impl File<'_, '_> {
    fn place(&self, node: Node<'_, '_>) -> FilePosition {
        FilePosition {
            file: self.path.clone(),
            line: self.document.text_pos_at(node.range().start).row,
        }
    }

    fn wrong<T>(&self, node: Node<'_, '_>, text: impl Into<String>) -> Result<T, HadoopError> {
        Err(HadoopError::at(Some(&self.place(node)), text))
    }
}

impl SettingsReader<'_> {
    fn file(&mut self, text: &str, path: &Path, depth: usize) -> Result<(), HadoopError> {
        let options = ParsingOptions {
            allow_dtd: true,
            nodes_limit: MAX_NODES,
            ..ParsingOptions::default()
        };
        let text = text.trim_start_matches('\u{feff}');
        let document = Document::parse_with_options(text, options).map_err(|error| {
            let place = FilePosition {
                file: path.into(),
                line: error.pos().row,
            };
            HadoopError::at(Some(&place), format!("this is not XML: {error}"))
        })?;
        let file = File {
            path: path.into(),
            document: &document,
            depth,
        };
        let root = document.root_element();
        match root.tag_name().name() {
            "configuration" => self.children(&file, root),
            other => file.wrong(root, format!("expected <configuration>, found <{other}>")),
        }
    }

    fn children(&mut self, file: &File<'_, '_>, parent: Node<'_, '_>) -> Result<(), HadoopError> {
        for node in parent.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "property" => self.property(file, node)?,
                "configuration" => self.children(file, node)?,
                "include" => self.include(file, node)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn property(&mut self, file: &File<'_, '_>, node: Node<'_, '_>) -> Result<(), HadoopError> {
        // Each part is an attribute or an element.
        let part = |name: &str| {
            let element = node
                .children()
                .find(|child| child.tag_name().name() == name);
            element
                .map(content)
                .or_else(|| node.attribute(name).map(String::from))
        };
        let name = part("name").unwrap_or_default().trim().to_string();
        if name.is_empty() {
            return file.wrong(node, "a <property> has no <name>");
        }
        let last = part("final").is_some_and(|text| text.trim() == "true");
        self.properties.push(XmlProperty {
            name,
            value: part("value"),
            last,
            position: file.place(node),
        });
        Ok(())
    }

    /// What `href` names, relative to the file it stands in; the `<fallback>` if it cannot be read.
    fn include(&mut self, file: &File<'_, '_>, node: Node<'_, '_>) -> Result<(), HadoopError> {
        let Some(href) = node
            .attribute("href")
            .map(str::trim)
            .filter(|href| !href.is_empty())
        else {
            return file.wrong(node, "an <include> has no href");
        };
        let Some(depth) = file.depth.checked_sub(1) else {
            return file.wrong(node, format!("more than {DEPTH} files within each other"));
        };
        self.included += 1;
        if self.included > FILES {
            return file.wrong(node, format!("more than {FILES} files are included"));
        }
        let path = match resolve(&file.path, href) {
            Ok(path) => path,
            Err(text) => return file.wrong(node, text),
        };
        let fallback = node
            .children()
            .find(|child| child.tag_name().name() == "fallback");
        match ((self.load)(&path), fallback) {
            (Ok(text), _) => self.file(&text, &path, depth),
            (Err(_), Some(fallback)) => self.children(file, fallback),
            (Err(error), None) => file.wrong(
                node,
                format!("failed to include {}: {error}", path.display()),
            ),
        }
    }
}

/// All text of an element; comments stand between parts of it.
fn content(node: Node<'_, '_>) -> String {
    node.children()
        .filter_map(|child| child.text().filter(|_| child.is_text()))
        .collect()
}

fn resolve(file: &Path, href: &str) -> Result<PathBuf, String> {
    let path = match href.split_once(':') {
        Some(("file", path)) => format!("/{}", path.trim_start_matches('/')),
        Some((scheme, _)) if !scheme.contains('/') => {
            return Err(format!(
                "`{href}` cannot be included: only files can, not {scheme}:"
            ));
        }
        _ => href.to_string(),
    };
    Ok(file.parent().unwrap_or(Path::new("")).join(path))
}
