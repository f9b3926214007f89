//! What somebody with the service's rights, or a signal at a bad moment, can do to `provision`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Bench, Row};

/// As the service's user: puts links to a file of root's wherever `check` may look, as fast as it can.
pub fn watcher(victim: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(120);
    while Instant::now() < end {
        for parent in ["/tmp", "/run", "/var/lib/flume"] {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            for entry in entries {
                if entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("flume-check-")
                {
                    plant(&entry.path(), victim);
                    plant(&entry.path().join("state"), victim);
                }
            }
        }
    }
    Ok(())
}

fn plant(directory: &Path, victim: &str) {
    for name in ["flume.conf", "log", "out-1", "check", "provision-check"] {
        let link = directory.join(name);
        let _ = fs::remove_file(&link);
        let _ = symlink(victim, &link);
    }
}

/// Makes a file that must stay as it is; `untouched` prints so if it did.
const VICTIM: &str = "printf secret >/srv/victim; chown root:root /srv/victim; chmod 600 /srv/victim
untouched() { test \"$(stat -c '%U:%G %a' /srv/victim) $(cat /srv/victim)\" = 'root:root 600 secret' && echo untouched; }
as_service() { setpriv --reuid flume --regid flume --init-groups \"$@\"; }
";

/// Lines of shell on a host that is provisioned, with what each must say.
const ROWS: &[(&str, &str, &[&str])] = &[
    (
        "a watcher of the service's user, 3 checks",
        "as_service $RIG watcher /srv/victim & watcher=$!
for round in 1 2 3; do $PROVISION check; done; kill $watcher; untouched",
        &["check: ", "untouched"],
    ),
    (
        "a link in the place of a configuration file",
        "mv /etc/flume/conf/flume.conf /root/; chown flume /etc/flume/conf; as_service ln -s /srv/victim /etc/flume/conf/flume.conf
$PROVISION --from-self install; $PROVISION --packaged install; untouched
rm /etc/flume/conf/flume.conf; mv /root/flume.conf /etc/flume/conf/; $PROVISION --from-self install",
        &["FAIL  install: /etc/flume/conf/flume.conf is a symbolic link", "untouched", "install: "],
    ),
    (
        "a link in the place of the configuration directory",
        "mkdir -m 0777 /srv/open; as_service ln -s /srv /srv/open/conf
echo '{host: \"node1.flume.test\", hdp: {flume_conf_dir: \"/srv/open/conf/x\"}}' >/tmp/open.json
/usr/bin/flume-ng provision --config /tmp/open.json --from-self install; untouched; test ! -e /srv/x && echo nothing",
        &["/srv/open is writable by others (mode 0777)", "untouched", "nothing"],
    ),
    (
        "TMPDIR of the service's",
        "rm -f $KEYTAB; setpriv --reuid flume --regid flume --init-groups sh -c 'mkdir /var/lib/flume/tmp; while :; do for d in /var/lib/flume/tmp/*; do test -d $d || continue; rm -rf $d; mkdir $d && ln -s /srv/victim $d/cache; ln -s /srv/victim $d/admin; done; done' 2>/dev/null & watcher=$!
TMPDIR=/var/lib/flume/tmp $PROVISION kerberos; TMPDIR=/var/lib/flume/tmp $PROVISION kerberos; kill $watcher; ls /var/lib/flume/tmp | wc -l | sed 's/^/made there: /'; rm -r /var/lib/flume/tmp; untouched",
        &["OK    kerberos: make", "PASS  kerberos: ", "made there: 0", "untouched"],
    ),
    (
        "a node configuration, or a krb5.conf, that another user can change",
        "mkdir /srv/theirs; echo '{host: \"node1.flume.test\"}' >/srv/theirs/node.json; cp $KRB5_CONFIG /srv/theirs/krb5.conf; chown -R flume /srv/theirs
/usr/bin/flume-ng provision --config /srv/theirs/node.json configure
echo '{host: \"node1.flume.test\", krb5_client: {krb5_config: \"/srv/theirs/krb5.conf\"}}' >/root/theirs.json; /usr/bin/flume-ng provision --config /root/theirs.json kerberos; /usr/bin/flume-ng doctor --config /root/theirs.json",
        &["/srv/theirs/node.json: another user can change", "/srv/theirs/krb5.conf: another user can change"],
    ),
    (
        "a FIFO in the place of the last check's record",
        "rm -f /etc/flume/last-check; mkfifo /etc/flume/last-check; timeout 60 /usr/bin/flume-ng doctor; rm /etc/flume/last-check; $PROVISION check",
        &["DO  last check: /etc/flume/last-check is a FIFO", "OK    check: record what works"],
    ),
    (
        "SIGTERM while it checks",
        "rm -rf /run/flume-check-*
for attempt in 1 2 3 4 5; do
    $PROVISION check >/tmp/killed 2>&1 & provision=$!
    while kill -0 $provision 2>/dev/null; do
        set -- /run/flume-check-*/state/check/control.sock
        test -S \"$1\" && break
    done
    kill -TERM $provision 2>/dev/null
    wait $provision; code=$?
    test $code -eq 0 || break
done
echo code $code; cat /tmp/killed
set -- /run/flume-check-*; test -e \"$1\" && echo \"left: $*\" || echo no directory
ps -eo args | grep -v grep | grep -q 'name check' || echo no agent",
        &["code 1", "FAIL  check: interrupted by a signal", "no directory", "no agent"],
    ),
    (
        "the password in the environment of any process",
        "env FLUME_KADMIN_PASSWORD=hush-hush /usr/bin/flume-ng provision --config /root/node.json check >/tmp/said 2>&1 & provision=$!
for n in $(seq 600); do test -n \"$(ls -d /run/flume-check-*/state/check/control.sock /tmp/flume-check-*/check/control.sock 2>/dev/null)\" && break; sleep 0.05; done
for process in /proc/[0-9]*; do tr '\\0' '\\n' <$process/environ 2>/dev/null; tr '\\0' ' ' <$process/cmdline 2>/dev/null; done | grep -c '^FLUME_KADMIN_PASSWORD=hush' | sed 's/^/seen: /'
wait $provision; grep -c hush /tmp/said | sed 's/^/said: /'",
        &["seen: 0", "said: 0"],
    ),
    (
        "a mistake in the configuration, one step alone",
        "echo '{host: 1, hdp: {flume_user: 2}}' >/tmp/bad.json; /usr/bin/flume-ng provision --config /tmp/bad.json --from-self install",
        &["FAIL  install: /tmp/bad.json:1:8: host: expected text"],
    ),
    (
        "a password in a line that is quoted",
        "printf '{krb5_client: {\\n kadmin_password: hunter2 }}' >/tmp/bad.json; /usr/bin/flume-ng provision --config /tmp/bad.json configure | tee /tmp/said
/usr/bin/flume-ng provision --config /tmp/bad.json configure 2>&1 | grep -c hunter2 | sed 's/^/said: /'",
        &["FAIL  configure: ", "said: 0"],
    ),
    (
        "another keytab of Active Directory's kind stays",
        "$PROVISION kerberos >/dev/null; $KADMIN modprinc -allow_svr $PRINCIPAL >/dev/null; cp $KEYTAB /root/kept; $PROVISION kerberos; cmp $KEYTAB /root/kept && echo same
$KADMIN modprinc +allow_svr $PRINCIPAL >/dev/null",
        &["PASS  kerberos: ", "same"],
    ),
    (
        "the keys of others in the keytab stay",
        "$KADMIN addprinc -randkey beside >/dev/null; rm -f /tmp/beside; $KADMIN ktadd -k /tmp/beside beside >/dev/null
cp /tmp/beside $KEYTAB; $PROVISION kerberos; klist -k $KEYTAB | grep -c beside | sed 's/^/kept: /'",
        &["OK    kerberos: make", "flume/node1.flume.test@FLUME.TEST logs in", "kept: 2"],
    ),
    (
        "a key is rotated by a rename",
        "cp $KEYTAB /root/kept; $PROVISION kerberos --rotate; cmp -s $KEYTAB /root/kept || echo another; ls -A /etc/flume/conf | grep -c new | sed 's/^/left: /'",
        &["OK    kerberos: change the key", "another", "left: 0"],
    ),
    (
        "an administrator whose password has expired",
        "$KADMIN addprinc -pw secret -pwexpire yesterday old/admin >/dev/null; rm $KEYTAB; sed s:root/admin:old/admin: /root/node.json >/root/old.json
/usr/bin/flume-ng provision --config /root/old.json kerberos; $PROVISION kerberos",
        &["FAIL  kerberos: the password of old/admin@FLUME.TEST has expired; change it: kpasswd", "OK    kerberos: make"],
    ),
    (
        "an administrator who has expired",
        "$KADMIN modprinc -pwexpire never -expire yesterday old/admin >/dev/null; rm $KEYTAB
/usr/bin/flume-ng provision --config /root/old.json kerberos; $PROVISION kerberos",
        &["FAIL  kerberos: old/admin@FLUME.TEST has expired in the realm; kadmin.local modprinc -expire never", "OK    kerberos: make"],
    ),
    (
        "an administrator who must change the password",
        "$KADMIN modprinc -expire never +needchange old/admin >/dev/null; rm $KEYTAB
/usr/bin/flume-ng provision --config /root/old.json kerberos; $PROVISION kerberos",
        &["FAIL  kerberos: the password of old/admin@FLUME.TEST has expired; change it: kpasswd", "OK    kerberos: make"],
    ),
    (
        "nobody who may administrate the realm",
        "rm $KEYTAB; echo '{host: \"node1.flume.test\", krb5_client: {}}' >/tmp/nobody.json; /usr/bin/flume-ng provision --config /tmp/nobody.json kerberos; $PROVISION kerberos",
        &["FAIL  kerberos: nobody is named", "ipa-getkeytab", "ktpass", "msktutil", "adcli", "OK    kerberos: make"],
    ),
];

/// On a host that is provisioned.
pub(super) fn show(bench: &Bench) -> Result<Vec<Row>> {
    let rig = std::env::current_exe()?.canonicalize()?;
    let prelude = format!("RIG={}\n{VICTIM}", rig.display());
    let row = |(name, line, says): &(&'static str, &str, &[&str])| {
        bench.say(name, &format!("{prelude}{line}"), says)
    };
    ROWS.iter().map(row).collect()
}
