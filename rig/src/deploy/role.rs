//! The Ansible role, run by ansible-core on a host as a site would run it.

use std::{path::PathBuf, process::Command};

use anyhow::Result;
use flume_cluster::need;

use super::{
    deb::{Deb, run},
    host::{Host, said},
};
use crate::agents::{root, target};

const ANSIBLE: &str = "ansible-core==2.19.14";
/// Who administrates the realm for Ansible.
pub(super) const ADMINISTRATOR: &str = "ansible/admin";
/// A password that nothing else on this machine has.
pub(super) const PASSWORD: &str = "hush-of-the-role";

/// The role's tools: Ansible, and the package that it installs.
pub(super) struct Role {
    ansible: PathBuf,
    package: Deb,
}

/// What systemctl is for a host without systemd: it notes what it is told, and all units run.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>/root/systemctl
case "$*" in
    *show*) printf 'Id=flume-agent@a1.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nCanReload=yes\n' ;;
    *is-enabled*) echo enabled ;;
    *list-units*) echo 'flume-agent@a1.service loaded active running Flume agent a1' ;;
esac
"#;

/// Looks for the password in the command line and the environment of every process.
const WATCH: &str = "while :; do
    grep -la 'hush[-]of' /proc/[0-9]*/cmdline /proc/[0-9]*/environ; sleep 0.1
done >/root/seen 2>/dev/null & watcher=$!";

impl Role {
    /// Installs Ansible below target, unless it is there.
    pub(super) fn make() -> Result<Role> {
        need(&[("sudo", "sudo"), ("python3", "python3")])?;
        let tools = target().join("ansible-core");
        let ansible = tools.join("bin/ansible-playbook");
        if !ansible.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
            run(Command::new(tools.join("bin/pip")).args(["install", "--quiet", ANSIBLE]))?;
        }
        Ok(Role {
            ansible: ansible.canonicalize()?,
            package: Deb::build()?,
        })
    }

    /// Plays the role twice, then with another user. Each part, whether it went well, and what was said.
    pub(super) fn play(
        &self,
        host: &Host,
        variables: &str,
    ) -> Result<Vec<(&'static str, bool, String)>> {
        host.write("/usr/local/bin/systemctl", SYSTEMCTL, "0755")?;
        host.write("/tmp/comm", "systemd\n", "0644")?;
        let common = format!(
            "flume_package: {}\nflume_realm: FLUME.TEST\nflume_kadmin_principal: {ADMINISTRATOR}\n\
             flume_kadmin_password: {PASSWORD}\nflume_agents: [a1]\nflume_proxy_users: []\n",
            self.package.file().display()
        );
        host.write("/root/variables.yml", &(common + variables), "0600")?;
        let inventory = "[flume]\nlocalhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n";
        host.write("/root/inventory", inventory, "0644")?;
        let play = |more: &str| -> Result<(bool, String)> {
            let line = format!(
                "mkdir -p /run/systemd/system; mount --bind /tmp/comm /proc/1/comm; cd /root; rm -f systemctl; touch systemctl
export HOME=/root ANSIBLE_HOME=/root/ansible ANSIBLE_NOCOLOR=1 LC_ALL=C.UTF-8 ANSIBLE_ROLES_PATH={roles}
{WATCH}
{ansible} -i inventory -e @variables.yml {more} {site}; code=$?
kill $watcher; umount /proc/1/comm; sed 's/^/systemctl: /' systemctl; sed 's/^/password seen: /' seen; exit $code",
                roles = root().join("packaging/ansible/roles").display(),
                site = root().join("packaging/ansible/site.yml").display(),
                ansible = self.ansible.display(),
            );
            let output = host.shell(&line)?;
            Ok((output.status.success(), said(&output)))
        };
        let (fine, first) = play("")?;
        let hidden = !first.contains(PASSWORD) && !first.contains("password seen");
        let (fine_again, again) = play("")?;
        let unchanged = again.contains("changed=0") && !again.contains("systemctl: restart");
        let mut parts = vec![
            ("first", fine, first),
            ("password hidden", hidden, String::new()),
            ("again", fine_again && unchanged, again),
        ];
        // From the package's user to another one. What belongs to a user of the site's is not taken without asking.
        if variables.is_empty() {
            let (fine, other) = play("-e flume_user=changed")?;
            let restarted = other.contains("restart flume-agent@a1");
            parts.push(("another user", fine && restarted, other));
        }
        Ok(parts)
    }
}
