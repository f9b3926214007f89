//! What the packages put on a host, in one place, so that `provision install --from-self` puts there the same.

/// Where the program is; the unit names it, too.
pub(crate) const PROGRAM: &str = "/usr/bin/flume-ng";

/// A file of the package.
pub(crate) struct Payload {
    /// Where it goes.
    pub(crate) path: &'static str,
    /// Its permissions.
    pub(crate) mode: u32,
    /// What is in it.
    pub(crate) content: Content,
}

/// What is in a file.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// This program.
    Program,
    /// A text that is the package's own.
    Text(&'static str),
    /// A text that is the site's once it is there: it goes into the configuration directory, and is never replaced.
    Configuration(&'static str),
}

const fn text(path: &'static str, text: &'static str) -> Payload {
    Payload {
        path,
        mode: 0o644,
        content: Content::Text(text),
    }
}

const fn configuration(name: &'static str, text: &'static str) -> Payload {
    Payload {
        path: name,
        mode: 0o640,
        content: Content::Configuration(text),
    }
}

/// All of them.
#[rustfmt::skip]
pub(crate) const PAYLOAD: &[Payload] = &[
    Payload { path: PROGRAM, mode: 0o755, content: Content::Program },
    // Where Flume's launcher was, for scripts that run it by a shell.
    Payload { path: "/usr/lib/flume/bin/flume-ng", mode: 0o755, content: Content::Text(include_str!("../../../packaging/bin/flume-ng")) },
    configuration("flume.conf", include_str!("../../../packaging/conf/flume.conf")),
    configuration("flume-env.sh", include_str!("../../../packaging/conf/flume-env.sh")),
    text("/usr/lib/systemd/system/flume-agent@.service", include_str!("../../../packaging/systemd/flume-agent@.service")),
    text("/usr/lib/sysusers.d/flume.conf", include_str!("../../../packaging/systemd/flume.sysusers")),
    text("/usr/lib/tmpfiles.d/flume.conf", include_str!("../../../packaging/systemd/flume.tmpfiles")),
    text("/usr/share/man/man1/flume-ng.1", include_str!("../../../packaging/generated/flume-ng.man")),
    text("/usr/share/bash-completion/completions/flume-ng", include_str!("../../../packaging/generated/flume-ng.bash")),
    text("/usr/share/zsh/vendor-completions/_flume-ng", include_str!("../../../packaging/generated/flume-ng.zsh")),
    text("/usr/share/fish/vendor_completions.d/flume-ng.fish", include_str!("../../../packaging/generated/flume-ng.fish")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Both package formats list the same files, with the same modes.
    #[test]
    fn the_packages_contain_the_same() {
        let manifest = include_str!("../../cli/Cargo.toml");
        for payload in PAYLOAD {
            let path = match payload.content {
                Content::Configuration(_) => format!("etc/flume/conf/{}", payload.path),
                _ => payload.path.trim_start_matches('/').to_string(),
            };
            let mode = format!("{:o}", payload.mode);
            let deb = manifest
                .lines()
                .any(|line| line.contains(&format!("\"{path}\", \"{mode}\"")));
            assert!(deb, "the .deb lacks {path} with mode {mode}");
            let rpm = format!("dest = \"/{path}\", mode = \"{mode}\"");
            assert!(
                manifest.lines().any(|line| line.contains(&rpm)),
                "the .rpm lacks {path} with mode {mode}"
            );
        }
    }
}
