//! All components that a configuration may name: tables of rows by kind, and the search for a row.
//!
//! Each crate with components has one [`Registry`]; the program includes them all in its own. The kinds are listed
//! once, at the end of this file: one line makes a trait a kind with a table.

use std::sync::Arc;

use crate::{
    Channel, ChannelSelector, Code, EventDeserializer, EventSerializer, HttpHandler, Interceptor,
    Sink, SinkProcessor, Source,
    component::{Component, Constructor, guarded},
    config::{Config, Property},
    foreign::{ForeignHost, Hosting},
    props::{Props, did_you_mean, suggestion},
};

/// One row of a table: a component and its names.
pub struct Registration<K: ?Sized> {
    /// The short name used in `type = ...`, compared without case; may be empty.
    pub name: &'static str,
    /// The Java class that may be written instead; empty for a component that Flume does not have.
    pub class: &'static str,
    /// First paragraph of the reference page.
    pub doc: &'static str,
    /// Rows of the reference page.
    pub properties: fn() -> Vec<Property>,
    read: fn(&mut Props<'_>) -> Option<Constructor<K>>,
}

impl<K: ?Sized> Registration<K> {
    /// What the user may write as its type: the short name, or the class if there is none.
    pub fn title(&self) -> &'static str {
        title(self.name, self.class)
    }
}

/// The row that a name in a configuration leads to.
pub struct Found<K: ?Sized + 'static> {
    /// The row.
    pub row: &'static Registration<K>,
    /// The class that is meant; a row of a [`ForeignHost`] stands for many.
    pub class: String,
}

impl<K: ?Sized> Found<K> {
    /// Reads the component's properties without building it; what is wrong is left in `props`.
    pub fn parse(&self, props: &mut Props<'_>) -> Option<Constructor<K>> {
        props.class.clone_from(&self.class);
        (self.row.read)(props)
    }

    /// What is to be said about a class in another case, which Flume would not find, with the right one.
    pub fn misspelling(&self, written: &str) -> Option<(&'static str, String)> {
        let class = self.row.class;
        let is_misspelt = written != class && written.eq_ignore_ascii_case(class);
        is_misspelt.then(|| {
            let text = "Flume finds no class of this spelling: upper and lower case count";
            (text, suggestion(class))
        })
    }
}

/// A row without the type of its kind, for the manual.
pub struct DescribedRow {
    /// The kind as [`ComponentKind::NAME`].
    pub kind: &'static str,
    /// As [`Registration::name`].
    pub name: &'static str,
    /// As [`Registration::class`].
    pub class: &'static str,
    /// As [`Registration::doc`].
    pub doc: &'static str,
    /// The rows of the reference page.
    pub properties: Vec<Property>,
}

impl DescribedRow {
    fn of<K: ComponentKind + ?Sized>(row: &Registration<K>) -> Self {
        DescribedRow {
            kind: K::NAME,
            name: row.name,
            class: row.class,
            doc: row.doc,
            properties: (row.properties)(),
        }
    }

    /// As [`Registration::title`].
    pub fn title(&self) -> &'static str {
        title(self.name, self.class)
    }
}

/// A component of Flume, whether this build has it or not.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// `source`, `sink`, `interceptor`, ... as [`ComponentKind::NAME`].
    pub kind: &'static str,
    /// The short name; may be empty.
    pub name: &'static str,
    /// The Java class.
    pub class: &'static str,
    /// How likely it is in a configuration met today: `core`, `common`, `rare` or `dead`.
    pub status: &'static str,
    /// Properties it cannot do without, besides `type` and channels.
    pub required: &'static [&'static str],
    /// Why nobody can use it any more; empty if that is not so.
    pub gone: &'static str,
}

impl Known {
    /// What the user may write as its type: the short name, or the class if there is none.
    pub fn title(&self) -> &'static str {
        title(self.name, self.class)
    }

    /// The message that `name` means this component and that this build does not have it.
    pub fn missing(&self, name: &str) -> String {
        format!(
            "`{name}` is {} of Flume that this build does not have",
            with_article(self.kind)
        )
    }

    fn is_usual(&self) -> bool {
        matches!(self.status, "core" | "common")
    }
}

/// Where a component of Flume runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In this program.
    Built,
    /// Elsewhere, under the control of this program; the text names the host: `a JVM`.
    Hosted(&'static str),
    /// Nowhere.
    Absent,
}

/// Why a name leads to no row.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// What kind of finding it is.
    pub code: Code,
    /// A whole message.
    pub text: String,
    /// What would be right.
    pub hint: Option<String>,
    /// The component of Flume that is meant.
    pub known: Option<&'static Known>,
    /// A host runs the class, but not as a part of a component that runs here. A component around it that has a
    /// Java class can run there as a whole.
    pub foreign: bool,
}

/// A variable that the environment of the process must not have.
#[derive(Clone, Copy, Debug)]
pub struct UnwantedVariable {
    /// Its name.
    pub name: &'static str,
    /// Why it has no effect, for the user.
    pub reason: &'static str,
}

/// A kind of component: a trait with a table.
pub trait ComponentKind {
    /// What users call it: `sink`.
    const NAME: &'static str;
    /// Its own table in a registry, without those of included ones.
    fn table(registry: &Registry) -> &'static [Registration<Self>];
}

impl Registry {
    /// The rows of a kind: this registry's, then those of the included ones.
    pub fn rows<K: ComponentKind + ?Sized + 'static>(&self) -> Vec<&'static Registration<K>> {
        self.parts().into_iter().flat_map(K::table).collect()
    }

    /// Every component of Flume that somebody knows of.
    pub fn known(&self) -> impl Iterator<Item = &'static Known> {
        self.parts().into_iter().flat_map(|part| part.known)
    }

    /// The variables that no part wants in the environment.
    pub fn unwanted_variables(&self) -> impl Iterator<Item = &'static UnwantedVariable> {
        self.parts()
            .into_iter()
            .flat_map(|part| part.unwanted_variables)
    }

    /// How the process has to end: as the first part that cares says, else as usual.
    pub fn exit(&self, code: u8) -> ! {
        match self.parts().into_iter().find_map(|part| part.exit) {
            Some(exit) => exit(code),
            None => std::process::exit(code.into()),
        }
    }

    /// Where a component of Flume runs.
    pub fn presence(&self, known: &Known) -> Presence {
        let is_built = |row: &DescribedRow| row.kind == known.kind && row.class == known.class;
        if self.described().iter().any(is_built) {
            return Presence::Built;
        }
        let hosts_it = |host: &&ForeignHost| {
            let mut kinds = host.components.described().into_iter();
            kinds.any(|row| row.kind == known.kind) && (host.takes)(known.class) == Hosting::Takes
        };
        self.hosts()
            .find(hosts_it)
            .map_or(Presence::Absent, |host| Presence::Hosted(host.name))
    }

    /// The row of a short name or class: a component of this program, else one of a foreign host.
    pub fn find<K: ComponentKind + ?Sized + 'static>(
        &self,
        name: &str,
    ) -> Result<Found<K>, Unknown> {
        let rows = self.rows::<K>();
        if let Some(row) = rows.iter().find(|row| is_named(name, row.name, row.class)) {
            let class = row.class.into();
            return Ok(Found { row, class });
        }
        let known = self
            .known()
            .filter(|known| known.kind == K::NAME)
            .find(|known| is_named(name, known.name, known.class));
        let class = known
            .map(|known| known.class)
            .filter(|class| !class.is_empty())
            .unwrap_or(name);
        if let Some(found) = self.find_hosted(class) {
            return Ok(found);
        }
        Err(self.unknown::<K>(name, class, known))
    }

    /// The row of a foreign host that runs components of this kind, among them this class.
    pub fn find_hosted<K: ComponentKind + ?Sized + 'static>(
        &self,
        class: &str,
    ) -> Option<Found<K>> {
        let takes = |host: &&ForeignHost| (host.takes)(class) == Hosting::Takes;
        let rows = |host: &'static ForeignHost| host.components.rows::<K>();
        let row = self.hosts().filter(takes).flat_map(rows).next()?;
        let class = class.into();
        Some(Found { row, class })
    }

    fn unknown<K: ComponentKind + ?Sized + 'static>(
        &self,
        name: &str,
        class: &str,
        known: Option<&'static Known>,
    ) -> Unknown {
        let hostings: Vec<_> = self
            .hosts()
            .map(|host| (host, (host.takes)(class)))
            .collect();
        let taker = hostings
            .iter()
            .find(|(_, hosting)| *hosting == Hosting::Takes);
        let remedy = hostings.iter().find_map(|(_, hosting)| match hosting {
            Hosting::Unavailable(remedy) => Some(remedy.clone()),
            Hosting::Takes | Hosting::Refuses => None,
        });
        let titles = self.rows::<K>().into_iter().map(Registration::title);
        let near = did_you_mean(name, titles);
        let (code, text) = match (known, taker) {
            (Some(known), None) => (Code::NotBuilt, known.missing(name)),
            (_, Some((host, _))) => {
                let text = format!(
                    "{} runs `{name}`, but not as {} of a component outside it",
                    host.name,
                    with_article(K::NAME)
                );
                (Code::ForeignClass, text)
            }
            (None, None) if near.is_none() && name.contains('.') => {
                let text = format!("the class `{name}` is not part of Flume");
                (Code::ForeignClass, text)
            }
            (None, None) => {
                let text = format!("there is no {} type `{name}`", K::NAME);
                (Code::UnknownType, text)
            }
        };
        let hint = match code {
            _ if let Some(why) = self.why_gone(class) => Some(why.into()),
            Code::UnknownType => near.or_else(|| Some(self.choice::<K>())),
            Code::ForeignClass if taker.is_some() => Some(self.choice::<K>()),
            Code::ForeignClass => {
                let hints: Vec<_> = remedy.into_iter().chain(self.namesake::<K>(name)).collect();
                (!hints.is_empty()).then(|| hints.join("; "))
            }
            _ => remedy,
        };
        Unknown {
            code,
            text,
            hint,
            known,
            foreign: taker.is_some(),
        }
    }

    /// Why a component of this class, in whatever package, is of no use any more.
    fn why_gone(&self, class: &str) -> Option<&'static str> {
        let mut gone = self.known().filter(|known| !known.gone.is_empty());
        let found = gone.find(|known| last_part(known.class) == last_part(class))?;
        Some(found.gone)
    }

    /// The component of this program whose class has the same last part as one of another package.
    fn namesake<K: ComponentKind + ?Sized + 'static>(&self, class: &str) -> Option<String> {
        let last = last_part(class);
        let mut rows = self.rows::<K>().into_iter();
        let row = rows.find(|row| last_part(row.class).eq_ignore_ascii_case(last))?;
        Some(format!("Flume's own `{last}` is `{}`", row.title()))
    }

    /// The types of a kind, and the usual ones of Flume that this build lacks.
    fn choice<K: ComponentKind + ?Sized + 'static>(&self) -> String {
        let mut names: Vec<_> = self.rows::<K>().iter().map(|row| row.title()).collect();
        let usual = self
            .known()
            .filter(|known| known.kind == K::NAME && known.is_usual())
            .filter(|known| !known.name.is_empty());
        for known in usual {
            if !names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(known.name))
            {
                names.push(known.name);
            }
        }
        format!("types are {}", names.join(", "))
    }

    fn hosts(&self) -> impl Iterator<Item = &'static ForeignHost> {
        self.parts().into_iter().flat_map(|part| part.hosts)
    }

    /// This registry and the included ones, in their order.
    fn parts(&self) -> Vec<&Registry> {
        let included = self.includes.iter().flat_map(|part| part.parts());
        std::iter::once(self).chain(included).collect()
    }
}

fn title(name: &'static str, class: &'static str) -> &'static str {
    if name.is_empty() { class } else { name }
}

/// `KafkaSink` of `org.apache.flume.sink.kafka.KafkaSink`; what is inside a class does not count.
fn last_part(class: &str) -> &str {
    let outer = class.split('$').next().unwrap_or_default();
    outer.rsplit('.').next().unwrap_or_default()
}

fn is_named(written: &str, name: &str, class: &str) -> bool {
    let is = |own: &str| !own.is_empty() && own.eq_ignore_ascii_case(written);
    is(name) || is(class)
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $field:ident: $row:ident $name:literal dyn $kind:ident,)*) => {
        /// The components of a crate, of several crates, or of the program.
        #[derive(Clone, Copy)]
        pub struct Registry {
            $($(#[$doc])* pub $field: &'static [Registration<dyn $kind>],)*
            /// Registries whose components belong to this one, too.
            pub includes: &'static [&'static Registry],
            /// What runs classes that nobody knew when this program was built.
            pub hosts: &'static [ForeignHost],
            /// Every component of Flume, built or not.
            pub known: &'static [Known],
            /// Variables that must not be in the environment of the process.
            pub unwanted_variables: &'static [UnwantedVariable],
            /// Ends the process, where a library cannot stand the usual end.
            pub exit: Option<fn(u8) -> !>,
        }

        impl Registry {
            /// Nothing. A crate adds what it has: `Registry { sinks: SINKS, ..Registry::EMPTY }`.
            pub const EMPTY: Registry = Registry {
                $($field: &[],)*
                includes: &[],
                hosts: &[],
                known: &[],
                unwanted_variables: &[],
                exit: None,
            };

            /// Every kind, in the order of the manual.
            pub const KINDS: &[&str] = &[$($name),*];

            /// All rows, kind by kind.
            pub fn described(&self) -> Vec<DescribedRow> {
                let mut described = vec![];
                $(described.extend(self.rows::<dyn $kind>().into_iter().map(DescribedRow::of));)*
                described
            }
        }

        $(impl ComponentKind for dyn $kind {
            const NAME: &'static str = $name;
            fn table(registry: &Registry) -> &'static [Registration<Self>] {
                registry.$field
            }
        }

        impl Registration<dyn $kind> {
            /// A row of the table.
            pub const fn $row<C: Component + $kind + 'static>(
                name: &'static str,
                class: &'static str,
            ) -> Self {
                Registration {
                    name,
                    class,
                    doc: C::Config::DOC,
                    properties: C::Config::properties,
                    read: |props| {
                        let config = C::Config::parse(props)?;
                        Some(Arc::new(move |cx| {
                            Ok(Box::new(guarded(|| C::build(config.clone(), cx))?))
                        }))
                    },
                }
            }
        })*
    };
}

// The field of `Registry`, the function that makes a row, the name in messages, the trait.
kinds! {
    /// Sources.
    sources: source "source" dyn Source,
    /// Channels.
    channels: channel "channel" dyn Channel,
    /// Sinks.
    sinks: sink "sink" dyn Sink,
    /// Interceptors.
    interceptors: interceptor "interceptor" dyn Interceptor,
    /// Channel selectors.
    selectors: selector "channel selector" dyn ChannelSelector,
    /// Event serializers.
    serializers: serializer "serializer" dyn EventSerializer,
    /// Event deserializers.
    deserializers: deserializer "deserializer" dyn EventDeserializer,
    /// Handlers of the `http` source.
    http_handlers: http_handler "http handler" dyn HttpHandler,
    /// Sink processors.
    processors: processor "sink processor" dyn SinkProcessor,
}
