//! Where an agent's configuration comes from: files, web servers, ZooKeeper, and a copy of the last one that could be read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flume_conf::{Document, Plan};
use flume_core::{AgentInfo, Context, secrets::masked};
use flume_host::{
    replace::replace,
    trust::{self, Contents, MAX_CONFIGURATION_BYTES},
    watch::FileWatch,
};
use flume_origin::{
    lookups::{ProcessLookups, Purpose},
    place::Place,
    remote::RemoteDocument,
    web::{self, BasicLogin},
    zookeeper::{self, DEFAULT_BASE, ZooKeeperLogin, ZooKeeperNode},
};
use flume_runtime::Configuration;

use crate::{args::Args, outcome::Failure, process::read_password, registry::REGISTRY};

/// How often files are looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(30);
/// How often web servers are asked, and files beside them looked at, as in Flume.
const WEB_INTERVAL: Duration = Duration::from_secs(300);

/// How often it is asked whether ZooKeeper has said something. Nobody else is asked for that.
const WATCHED_INTERVAL: Duration = Duration::from_secs(1);

/// A part of a configuration.
enum ConfigurationPart {
    File(PathBuf),
    Remote(RemoteDocument),
}

impl ConfigurationPart {
    fn name(&self) -> String {
        match self {
            ConfigurationPart::File(path) => path.display().to_string(),
            ConfigurationPart::Remote(document) => document.uri().into(),
        }
    }

    /// Only to be looked at.
    fn look(&mut self) -> Result<Contents, String> {
        match self {
            ConfigurationPart::File(path) => trust::read(path, MAX_CONFIGURATION_BYTES),
            ConfigurationPart::Remote(document) => document.read().map(Contents::of_another_host),
        }
    }

    /// For an agent that runs.
    fn read(&mut self) -> Result<Vec<u8>, String> {
        match self {
            ConfigurationPart::File(path) => trust::read_as_told(path, MAX_CONFIGURATION_BYTES),
            ConfigurationPart::Remote(document) => document.read(),
        }
    }

    /// The same for a comparison: a change still counts as one.
    fn peek(&mut self) -> Result<Vec<u8>, String> {
        match self {
            ConfigurationPart::File(_) => self.read(),
            ConfigurationPart::Remote(document) => document.peek(),
        }
    }
}

/// What the parts say, each with its name.
type NamedParts = Vec<(String, Vec<u8>)>;

/// The configuration of one agent: parts, read in order; later keys win.
pub(crate) struct AgentConfiguration {
    parts: Vec<ConfigurationPart>,
    /// The files, and those that lookups read.
    watch: FileWatch,
    agent: Arc<AgentInfo>,
    /// Where the last configuration that could be read is kept.
    backup: Option<PathBuf>,
    was_read: bool,
    /// The last attempt found a part that could not be read: what changed in the others does not run yet.
    pending: bool,
}

/// What the command line says about the places of a configuration.
pub(crate) struct Places {
    places: Vec<Place>,
    login: Option<BasicLogin>,
}

/// The login for a web server. A file with the password counts before the password itself.
fn login(args: &Args) -> Result<Option<BasicLogin>, Failure> {
    let password = match args.get("password-file") {
        Some(path) => {
            let read = fs::File::open(path).and_then(read_password);
            let password =
                read.map_err(|error| Failure::Usage(format!("{path} cannot be read: {error}")))?;
            Some(password.0)
        }
        None => args.get("conf-password").map(String::from),
    };
    match (args.get("conf-user"), password) {
        (Some(user), Some(password)) => Ok(Some(BasicLogin {
            user: user.into(),
            password,
        })),
        (None, None) => Ok(None),
        _ => {
            let text = "--conf-user and --conf-password (or --password-file) belong together";
            Err(Failure::Usage(text.into()))
        }
    }
}

impl Places {
    /// As in Flume: if a URI is given, files count no longer.
    pub(crate) fn of(args: &Args) -> Result<Places, Failure> {
        for option in ["auth-provider", "conf-provider"] {
            if args.has(option) {
                return Err(Failure::Usage(format!(
                    "--{option} names a Java class, which cannot be loaded here (Flume 1.11 fails with it, too); use \
                     --conf-file, --conf-uri or --zkConnString"
                )));
            }
        }
        if let Some(servers) = args.get("zkConnString") {
            // As in Flume, this goes before files and URIs.
            let base = args.get("zkBasePath").unwrap_or(DEFAULT_BASE);
            let agent = args.get("name").unwrap_or_default();
            let node = ZooKeeperNode::of_agent(servers, base, agent).map_err(Failure::Usage)?;
            return Ok(Places {
                places: vec![Place::ZooKeeper(node)],
                login: None,
            });
        }
        let conf_dir = args.get("conf").map(Path::new);
        let uris = args.all("conf-uri").iter();
        let of_uris: Result<Vec<_>, _> = uris.map(|uri| Place::of_uri(uri, conf_dir)).collect();
        let mut places = of_uris.map_err(Failure::Usage)?;
        if places.is_empty() {
            let files = args.all("conf-file").iter();
            places = files.map(|file| Place::File(file.into())).collect();
        }
        let login = login(args)?;
        Ok(Places { places, login })
    }

    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// More files.
    pub(crate) fn add_files(&mut self, files: &[String]) {
        let files = files.iter().map(|file| Place::File(file.into()));
        self.places.extend(files);
    }

    /// How often a change is looked for when nobody says how often.
    pub(crate) fn default_interval(&self) -> Duration {
        let is_web = |place: &Place| matches!(place, Place::Http(_));
        let is_watched = |place: &Place| matches!(place, Place::ZooKeeper(_));
        if self.places.iter().any(is_watched) {
            return WATCHED_INTERVAL;
        }
        if self.places.iter().any(is_web) {
            WEB_INTERVAL
        } else {
            FILE_INTERVAL
        }
    }

    fn open(
        self,
        agent: &Arc<AgentInfo>,
        interval: Option<Duration>,
    ) -> Result<Vec<ConfigurationPart>, String> {
        let login = self.login;
        let open = |place| match place {
            Place::File(path) => Ok(ConfigurationPart::File(path)),
            Place::Http(uri) => {
                let cx = Context::of_agent(&agent.name, vec![], agent.clone());
                web::start(&uri, login.as_ref(), interval, cx).map(ConfigurationPart::Remote)
            }
            Place::ZooKeeper(node) => {
                let login = ZooKeeperLogin::of(&agent.system_properties)?;
                zookeeper::start(node, login).map(ConfigurationPart::Remote)
            }
        };
        self.places.into_iter().map(open).collect()
    }

    /// Reads everything once, and resolves its lookups.
    pub(crate) fn read_once(self, agent: &Arc<AgentInfo>) -> Result<Document, String> {
        let parts = self.open(agent, None)?;
        let properties = &agent.system_properties;
        look_at(parts, properties, agent.conf_dir.as_deref())
    }
}

/// The document of these files, only to be looked at.
pub(crate) fn look_at_files(
    paths: impl IntoIterator<Item = PathBuf>,
    properties: &BTreeMap<String, String>,
    conf_dir: Option<&Path>,
) -> Result<Document, String> {
    look_at(
        paths.into_iter().map(ConfigurationPart::File).collect(),
        properties,
        conf_dir,
    )
}

/// The document of these parts, only to be looked at. Root runs no program, and reads no file, for a configuration that
/// another user can change.
fn look_at(
    parts: Vec<ConfigurationPart>,
    properties: &BTreeMap<String, String>,
    conf_dir: Option<&Path>,
) -> Result<Document, String> {
    let mut document = Document::default();
    let mut may_follow = true;
    for mut part in parts {
        let contents = part.look()?;
        may_follow &= contents.may_follow;
        document.add(&part.name(), &contents.bytes);
    }
    let lookups = ProcessLookups::new(properties, conf_dir, Purpose::Look { may_follow })?;
    document.resolve(&lookups);
    Ok(document)
}

impl AgentConfiguration {
    /// Nothing is read yet. `interval` is how often web servers are asked; never, if it is `None`.
    pub(crate) fn new(
        places: Places,
        agent: Arc<AgentInfo>,
        interval: Option<Duration>,
        backup: Option<&str>,
    ) -> Result<Self, String> {
        let parts = places.open(&agent, interval)?;
        let files = parts.iter().filter_map(|part| match part {
            ConfigurationPart::File(path) => Some(path.clone()),
            ConfigurationPart::Remote(_) => None,
        });
        let watch = FileWatch::new(files);
        let backup = backup
            .map(|directory| Path::new(directory).join(format!(".{}.properties", agent.name)));
        Ok(AgentConfiguration {
            parts,
            watch,
            agent,
            backup,
            was_read: false,
            pending: false,
        })
    }

    /// The parts; at the start the copy of the last ones, if one of them cannot be read.
    fn read_or_restore(&mut self) -> Result<NamedParts, String> {
        let read = |part: &mut ConfigurationPart| Ok((part.name(), part.read()?));
        let read: Result<NamedParts, _> = self.parts.iter_mut().map(read).collect();
        self.pending = read.is_err();
        let problem = match read {
            Ok(parts) => return Ok(parts),
            Err(problem) => problem,
        };
        let Some(backup) = self.backup.as_ref().filter(|_| !self.was_read) else {
            return Err(problem);
        };
        let name = backup.display().to_string();
        let copy = trust::read_as_told(backup, MAX_CONFIGURATION_BYTES)
            .map_err(|why| format!("{problem}; and there is no copy of the last one: {why}"))?;
        tracing::error!("{problem}; running what {name} has, the last configuration read");
        Ok(vec![(name, copy)])
    }

    /// The document of these parts, and the files that lookups have read for it.
    fn document(&self, parts: &NamedParts) -> Result<(Document, Vec<PathBuf>), String> {
        let mut document = Document::default();
        for (name, bytes) in parts {
            document.add(name, bytes);
        }
        let properties = &self.agent.system_properties;
        let conf_dir = self.agent.conf_dir.as_deref();
        let lookups = ProcessLookups::new(properties, conf_dir, Purpose::Run)?;
        document.resolve(&lookups);
        Ok((document, lookups.files()))
    }

    fn plan(&self, document: &Document) -> Result<Plan, String> {
        let agents = document.agents();
        let name = &self.agent.name;
        if !agents.contains(name) {
            return Err(masked(&format!(
                "there is no agent `{name}`, the configuration has: {}",
                agents.join(", ")
            ))
            .into_owned());
        }
        Ok(document.plan(name, &REGISTRY))
    }

    /// Keeps a copy. Lookups stay as they are written, so no secret of theirs gets onto the disk.
    fn keep(&self, parts: &NamedParts) {
        let Some(backup) = &self.backup else { return };
        let mut text = vec![];
        for (name, bytes) in parts {
            text.extend_from_slice(format!("# {}\n", name.replace('\n', " ")).as_bytes());
            text.extend_from_slice(bytes);
            text.push(b'\n');
        }
        if let Some(directory) = backup.parent() {
            // Whether it is there shows below.
            let _ = fs::create_dir_all(directory);
        }
        if let Err(error) = replace(backup, &text, 0o600) {
            tracing::error!(
                "failed to keep a copy of the configuration in {}: {error}",
                backup.display()
            );
        }
    }
}

impl Configuration for AgentConfiguration {
    fn changed(&mut self) -> bool {
        let web = |part: &ConfigurationPart| matches!(part, ConfigurationPart::Remote(document) if document.changed());
        let comes_back = self.pending && self.problem().is_none();
        comes_back || self.watch.changed() || self.parts.iter().any(web)
    }

    fn may_come_back(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, ConfigurationPart::Remote(_)))
    }

    fn problem(&self) -> Option<String> {
        self.parts.iter().find_map(|part| match part {
            ConfigurationPart::File(path) => fs::metadata(path)
                .err()
                .map(|error| format!("{} cannot be read: {error}", path.display())),
            ConfigurationPart::Remote(document) => document.problem(),
        })
    }

    fn read(&mut self) -> Result<Plan, String> {
        self.watch.look();
        let parts = self.read_or_restore()?;
        let (document, looked_up) = self.document(&parts)?;
        self.watch.also(looked_up);
        let plan = self.plan(&document)?;
        self.was_read = true;
        self.keep(&parts);
        Ok(plan)
    }

    fn peek(&mut self) -> Result<Plan, String> {
        let peek = |part: &mut ConfigurationPart| Ok((part.name(), part.peek()?));
        let parts: NamedParts = self
            .parts
            .iter_mut()
            .map(peek)
            .collect::<Result<_, String>>()?;
        let (document, _) = self.document(&parts)?;
        self.plan(&document)
    }
}
