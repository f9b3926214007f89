//! The host's package manager: which one there is, what it has installed, and what it can.

use std::{cmp::Ordering, path::Path, time::Duration};

use crate::{
    Site,
    fault::Fault,
    program::{Program, find},
    step::{Found, Task},
};

/// The package's name. Distributions have Java Flume under the name `flume`, with higher versions.
const PACKAGE: &str = "flume-ng";
/// That other package: it has files at the same paths.
const JAVA_PACKAGE: &str = "flume";
/// Downloading and unpacking may take so long.
const PATIENCE: Duration = Duration::from_secs(600);

/// A package manager, as data: programs and their arguments. `@` stands for what is asked about.
struct Manager {
    /// The program that installs, which also says that this is the host's manager.
    install: &'static str,
    install_arguments: &'static [&'static str],
    /// Its files' extension.
    extension: &'static str,
    /// Prints the installed version of the package.
    installed: (&'static str, &'static [&'static str]),
    /// Prints the version of a package file.
    in_file: (&'static str, &'static [&'static str]),
    /// Prints the name of the package in a file.
    name_in_file: (&'static str, &'static [&'static str]),
    /// Succeeds when a repository has the package.
    offered: (&'static str, &'static [&'static str]),
    /// Prints the package that a file belongs to; fails if there is none.
    owner: (&'static str, &'static [&'static str]),
}

const RPM_INSTALLED: (&str, &[&str]) = ("rpm", &["-q", "--qf", "%{VERSION}-%{RELEASE}", "@"]);
const RPM_IN_FILE: (&str, &[&str]) = (
    "rpm",
    &["-qp", "--nosignature", "--qf", "%{VERSION}-%{RELEASE}", "@"],
);
const RPM_NAME: (&str, &[&str]) = ("rpm", &["-qp", "--nosignature", "--qf", "%{NAME}", "@"]);
const RPM_OWNER: (&str, &[&str]) = ("rpm", &["-qf", "--qf", "%{NAME}", "@"]);

const MANAGERS: &[Manager] = &[
    Manager {
        install: "apt-get",
        install_arguments: &[
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Options::=--force-confold",
            "install",
            "-y",
            "--",
            "@",
        ],
        extension: "deb",
        installed: (
            "dpkg-query",
            &["-W", "-f", "${db:Status-Abbrev}${Version}", "@"],
        ),
        in_file: ("dpkg-deb", &["-f", "@", "Version"]),
        name_in_file: ("dpkg-deb", &["-f", "@", "Package"]),
        offered: ("apt-cache", &["show", "@"]),
        owner: ("dpkg", &["-S", "@"]),
    },
    Manager {
        install: "dnf",
        install_arguments: &["install", "-y", "@"],
        extension: "rpm",
        installed: RPM_INSTALLED,
        in_file: RPM_IN_FILE,
        name_in_file: RPM_NAME,
        offered: ("dnf", &["-q", "list", "--available", "@"]),
        owner: RPM_OWNER,
    },
    Manager {
        install: "zypper",
        install_arguments: &["--non-interactive", "install", "--allow-unsigned-rpm", "@"],
        extension: "rpm",
        installed: RPM_INSTALLED,
        in_file: RPM_IN_FILE,
        name_in_file: RPM_NAME,
        offered: (
            "zypper",
            &["--non-interactive", "search", "--match-exact", "@"],
        ),
        owner: RPM_OWNER,
    },
];

fn of_this_host() -> Result<&'static Manager, Fault> {
    MANAGERS
        .iter()
        .find(|manager| find(manager.install).is_some())
        .ok_or_else(|| {
            Fault::new(
                "this host has neither apt-get nor dnf nor zypper",
                "use --from-self instead of a package",
            )
        })
}

/// What a query prints about something; `None` if it fails.
fn ask(query: (&'static str, &[&str]), about: &str) -> Result<Option<String>, Fault> {
    let arguments: Vec<_> = query
        .1
        .iter()
        .map(|argument| argument.replace('@', about))
        .collect();
    let said = Program::new(query.0, &arguments).run()?;
    Ok(said.ok().then(|| said.out.trim().to_string()))
}

impl Manager {
    /// The version of a package that is installed.
    fn installed(&self, package: &str) -> Result<Option<String>, Fault> {
        let Some(text) = ask(self.installed, package)? else {
            return Ok(None);
        };
        match self.extension {
            // `ii ` before the version: desired and actually installed; removed ones are known, too.
            "deb" => Ok(text.strip_prefix("ii ").map(String::from)),
            _ => Ok(Some(text)),
        }
    }

    /// The version in a file, which must be a package of this program.
    fn version_of(&self, file: &Path) -> Result<String, Fault> {
        let about = file.display().to_string();
        let remedy = format!("give --package a .{} of {PACKAGE}", self.extension);
        let name = ask(self.name_in_file, &about)?.ok_or_else(|| {
            Fault::new(
                format!("{about} is not a package that this host can read"),
                &remedy,
            )
        })?;
        if name != PACKAGE {
            return Err(Fault::new(
                format!("{about} is a package of `{name}`"),
                remedy,
            ));
        }
        ask(self.in_file, &about)?
            .ok_or_else(|| Fault::new(format!("{about} has no version"), remedy))
    }

    fn install(&self, what: &str) -> Result<(), Fault> {
        let arguments: Vec<_> = self
            .install_arguments
            .iter()
            .map(|word| word.replace('@', what))
            .collect();
        let remedy = format!("look at what `{} install {what}` says", self.install);
        let program =
            Program::new(self.install, &arguments).env("DEBIAN_FRONTEND", "noninteractive");
        program.limit(PATIENCE).succeed(&remedy).map(drop)
    }
}

/// The package is there, and as new as the file that was given.
pub(crate) fn task(site: &Site) -> Result<Task<'_>, Fault> {
    let manager = of_this_host()?;
    if let Some(version) = manager.installed(JAVA_PACKAGE)? {
        let cause = format!(
            "package {JAVA_PACKAGE} {version} is installed: it is Java Flume, and has files at the same paths"
        );
        let remedy = format!(
            "{} remove {JAVA_PACKAGE}; its configuration in /etc/flume stays",
            manager.install
        );
        return Err(Fault::new(cause, remedy));
    }
    let Some(file) = &site.package else {
        return Ok(from_repository(manager));
    };
    let file = file.canonicalize().map_err(Fault::io("read", file))?;
    let wanted = manager.version_of(&file)?;
    Ok(Task {
        title: format!("package {PACKAGE} {wanted}"),
        check: Box::new(move || match manager.installed(PACKAGE)? {
            None => Ok(Found::Otherwise(format!(
                "install package {PACKAGE} {wanted}"
            ))),
            Some(have) if compare(&have, &wanted) == Ordering::Less => Ok(Found::Otherwise(
                format!("upgrade package {PACKAGE} from {have} to {wanted}"),
            )),
            Some(have) => Ok(Found::AsWanted(Some(format!("package {PACKAGE} {have}")))),
        }),
        act: Box::new(move || manager.install(&file.display().to_string())),
    })
}

fn from_repository(manager: &'static Manager) -> Task<'static> {
    Task {
        title: format!("package {PACKAGE}"),
        check: Box::new(move || {
            if let Some(have) = manager.installed(PACKAGE)? {
                return Ok(Found::AsWanted(Some(format!("package {PACKAGE} {have}"))));
            }
            match ask(manager.offered, PACKAGE)? {
                Some(offered) if offered.contains(PACKAGE) => {
                    Ok(Found::Otherwise(format!("install package {PACKAGE}")))
                }
                _ => Err(Fault::new(
                    format!(
                        "package {PACKAGE} is not installed, and no repository of this host has it"
                    ),
                    format!("give --package FILE.{}, or --from-self", manager.extension),
                )),
            }
        }),
        act: Box::new(move || manager.install(PACKAGE)),
    }
}

/// The package's version; `None` without a manager or a package.
pub(crate) fn installed_version() -> Option<String> {
    of_this_host().ok()?.installed(PACKAGE).ok()?
}

/// A file that belongs to a package is the package's to replace.
pub(crate) fn refuse_to_replace(path: &Path) -> Result<(), Fault> {
    let Ok(manager) = of_this_host() else {
        return Ok(());
    };
    if !path.exists() {
        return Ok(());
    }
    match ask(manager.owner, &path.display().to_string())? {
        None => Ok(()),
        Some(_) => Err(Fault::new(
            format!("{} belongs to a package", path.display()),
            "upgrade it with --package FILE, or remove the package before --from-self",
        )),
    }
}

/// Compares versions as both package systems do for plain ones: numbers as numbers, words as words, `~` before
/// everything.
fn compare(a: &str, b: &str) -> Ordering {
    let mut a = a;
    let mut b = b;
    loop {
        match (part(a), part(b)) {
            (None, None) => return Ordering::Equal,
            (None, Some((Part::Tilde, _))) => return Ordering::Greater,
            (Some((Part::Tilde, _)), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((x, rest_a)), Some((y, rest_b))) => match x.cmp(&y) {
                Ordering::Equal => (a, b) = (rest_a, rest_b),
                unequal => return unequal,
            },
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Tilde,
    Word(&'a str),
    /// Without leading zeros, so the longer one is greater.
    Number(usize, &'a str),
}

/// The first part of a version, and the rest.
fn part(text: &str) -> Option<(Part<'_>, &str)> {
    if let Some(rest) = text.strip_prefix('~') {
        return Some((Part::Tilde, rest));
    }
    let text = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '~');
    let first = text.chars().next()?;
    if first == '~' {
        return part(text);
    }
    let digit = first.is_ascii_digit();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() || c.is_ascii_digit() != digit);
    let (part, rest) = text.split_at(end.unwrap_or(text.len()));
    if digit {
        let number = part.trim_start_matches('0');
        Some((Part::Number(number.len(), number), rest))
    } else {
        Some((Part::Word(part), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        for (less, more) in [
            ("0.1.0-1", "0.2.0-1"),
            ("0.9-1", "0.10-1"),
            ("1.0~rc1-1", "1.0-1"),
            ("1.0-1", "1.0-2"),
            ("1.0", "1.0.1"),
            ("1.09", "1.10"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{less} {more}");
            assert_eq!(compare(less, less), Ordering::Equal);
        }
        let _ = compare("é~\u{1f600}1", "~~");
    }
}
