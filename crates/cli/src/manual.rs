//! The man page and the shells' completions, from the table of commands.

use crate::{args::Flag, commands::Command};

/// Makes a page from the commands.
type Page = fn(&[Command]) -> String;

/// What `flume-ng help NAME` prints.
pub(crate) const PAGES: &[(&str, Page)] =
    &[("man", man), ("bash", bash), ("zsh", zsh), ("fish", fish)];

fn man(commands: &[Command]) -> String {
    let mut page = String::from(
        ".\\\" Generated from the table of commands.\n.TH FLUME\\-NG 1 \"\" \"Flume\" \"User Commands\"\n.SH NAME\n\
         flume\\-ng \\- collect, aggregate and move log data\n.SH SYNOPSIS\n.B flume\\-ng\n\
         .I COMMAND\n[\\fIOPTION\\fR]... [\\fB\\-D\\fIkey\\fB=\\fIvalue\\fR]...\n.SH COMMANDS\n",
    );
    for command in commands {
        page += &format!(".SS \"{}\"\n{}.\n", roff(command.name), roff(command.doc));
        for flag in command.flags {
            let short = if flag.short.is_empty() {
                String::new()
            } else {
                format!("\\fB\\-{}\\fR, ", roff(flag.short))
            };
            let value = if flag.value.is_empty() {
                String::new()
            } else {
                format!(" \\fI{}\\fR", roff(flag.value))
            };
            page += &format!(
                ".TP\n{short}\\fB\\-\\-{}\\fR{value}\n{}.\n",
                roff(flag.long),
                roff(flag.doc)
            );
        }
    }
    page + ".SH FILES\n.TP\n.I /etc/flume/conf/flume.conf\nThe configuration of the packaged service.\n.TP\n\
            .I /etc/flume/conf/flume\\-env.sh\nIts environment, a shell file.\n.TP\n\
            .I /var/lib/flume\nWhat agents keep between runs.\n\
            .SH \"EXIT STATUS\"\n0 success, also after SIGTERM and SIGINT; 1 failure at run time; 2 usage or configuration.\n\
            .SH SIGNALS\nSIGHUP makes an agent read its configuration again. SIGTERM and SIGINT make it drain and stop; a\n\
            second one ends the draining.\n"
}

/// Text for roff: hyphens that may be copied, no control lines.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
}

fn bash(commands: &[Command]) -> String {
    let names: Vec<_> = commands.iter().map(|command| command.name).collect();
    let mut text = format!(
        "# Generated from the table of commands.\n_flume_ng() {{\n    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")\n        return\n    fi\n    \
         case $previous in\n",
        names.join(" ")
    );
    for (kind, flags) in by_value(commands) {
        let action = match kind {
            ValueKind::Nothing => continue,
            ValueKind::File => "-f".into(),
            ValueKind::Directory => "-d".into(),
            ValueKind::Words(words) => format!("-W '{}'", words.replace('|', " ")),
            ValueKind::Other => String::new(),
        };
        let reply = match action.as_str() {
            "" => "return".into(),
            action => format!("mapfile -t COMPREPLY < <(compgen {action} -- \"$current\"); return"),
        };
        text += &format!("        {}) {reply} ;;\n", flags.join("|"));
    }
    text += "    esac\n    case ${COMP_WORDS[1]} in\n";
    for command in commands {
        let flags: Vec<_> = command
            .flags
            .iter()
            .map(|flag| format!("--{}", flag.long))
            .collect();
        text += &format!(
            "        {}) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\") ;;\n",
            command.name,
            flags.join(" ")
        );
    }
    text + "    esac\n}\ncomplete -F _flume_ng -o default flume-ng\n"
}

/// What an option's value can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    Nothing,
    File,
    Directory,
    Words(&'static str),
    Other,
}

fn kind(flag: &Flag) -> ValueKind {
    match flag.value {
        "" => ValueKind::Nothing,
        "FILE" => ValueKind::File,
        "DIR" => ValueKind::Directory,
        words if words.contains('|') => ValueKind::Words(words),
        _ => ValueKind::Other,
    }
}

/// The spellings of all options, by what they take.
fn by_value(commands: &[Command]) -> Vec<(ValueKind, Vec<String>)> {
    let mut kinds: Vec<(ValueKind, Vec<String>)> = vec![];
    for flag in commands.iter().flat_map(|command| command.flags) {
        let kind = kind(flag);
        let at = kinds
            .iter()
            .position(|(known, _)| *known == kind)
            .unwrap_or_else(|| {
                kinds.push((kind, vec![]));
                kinds.len() - 1
            });
        let short = if flag.short.is_empty() {
            None
        } else {
            Some(format!("-{}", flag.short))
        };
        for spelling in short.into_iter().chain([format!("--{}", flag.long)]) {
            if let Some((_, spellings)) = kinds.get_mut(at)
                && !spellings.contains(&spelling)
            {
                spellings.push(spelling);
            }
        }
    }
    kinds
}

fn zsh(commands: &[Command]) -> String {
    let quoted = |text: &str| {
        text.replace('\'', "'\\''")
            .replace('[', "(")
            .replace(']', ")")
            .replace(':', "\\:")
    };
    let mut text = String::from(
        "#compdef flume-ng\n# Generated from the table of commands.\n_flume_ng() {\n    if (( CURRENT == 2 )); then\n        local -a commands=(\n",
    );
    for command in commands {
        text += &format!("            '{}:{}'\n", command.name, quoted(command.doc));
    }
    text += "        )\n        _describe command commands\n        return\n    fi\n    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n";
    for command in commands {
        text += &format!("        {}) _arguments -S", command.name);
        for flag in command.flags {
            let value = match kind(flag) {
                ValueKind::Nothing => String::new(),
                ValueKind::File => ":file:_files".into(),
                ValueKind::Directory => ":directory:_files -/".into(),
                ValueKind::Words(words) => format!(":value:({})", words.replace('|', " ")),
                ValueKind::Other => format!(":{}: ", flag.value.to_ascii_lowercase()),
            };
            text += &format!(
                " \\\n            '--{}[{}]{value}'",
                flag.long,
                quoted(flag.doc)
            );
        }
        text += " \\\n            '*:file:_files' ;;\n";
    }
    text + "    esac\n}\n_flume_ng \"$@\"\n"
}

fn fish(commands: &[Command]) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut text = String::from("# Generated from the table of commands.\n");
    for command in commands {
        text += &format!(
            "complete -c flume-ng -n __fish_use_subcommand -f -a {} -d '{}'\n",
            command.name,
            quoted(command.doc)
        );
    }
    for command in commands {
        for flag in command.flags {
            let short = if flag.short.is_empty() {
                String::new()
            } else {
                format!(" -s {}", flag.short)
            };
            let value = match kind(flag) {
                ValueKind::Nothing => String::new(),
                ValueKind::Words(words) => format!(" -x -a '{}'", words.replace('|', " ")),
                _ => " -r".into(),
            };
            text += &format!(
                "complete -c flume-ng -n '__fish_seen_subcommand_from {}'{short} -l {}{value} -d '{}'\n",
                command.name,
                flag.long,
                quoted(flag.doc)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::COMMANDS;

    #[test]
    fn the_committed_pages_are_what_the_table_says() {
        for (name, page) in PAGES {
            let path = format!(
                "{}/../../packaging/generated/flume-ng.{name}",
                env!("CARGO_MANIFEST_DIR")
            );
            let committed = std::fs::read_to_string(path).unwrap_or_default();
            assert!(
                committed == page(COMMANDS),
                "stale: run `flume-ng help {name} > packaging/generated/flume-ng.{name}`"
            );
        }
    }
}
