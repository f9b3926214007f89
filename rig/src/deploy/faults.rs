//! Everything that can be wrong with a provisioned host, tried, with what must be said.

/// Something done to a host whose provisioning was complete, and what a run says then.
pub struct Trouble {
    /// What it is.
    pub name: &'static str,
    /// Makes it so: a line of shell, with `$KEYTAB`, `$PRINCIPAL` and `$KADMIN` (kadmin.local of the realm).
    pub make: &'static str,
    /// The run: a line of shell with `$PROVISION`.
    pub run: &'static str,
    /// What it says.
    pub says: &'static [&'static str],
    /// What makes it right again, where the run itself does not.
    pub mend: &'static str,
}

const KERBEROS: &str = "$PROVISION kerberos";
const SKEW: &str = "faketime '+1 hour' $PROVISION kerberos";

const fn trouble(
    name: &'static str,
    make: &'static str,
    run: &'static str,
    says: &'static [&'static str],
    mend: &'static str,
) -> Trouble {
    Trouble {
        name,
        make,
        run,
        says,
        mend,
    }
}

/// Those of configuration, rights, packages and Kerberos.
#[rustfmt::skip]
pub const TROUBLES: &[Trouble] = &[
    trouble("keytab deleted", "rm $KEYTAB", KERBEROS,
        &["OK    kerberos: make", "(it is not there)", "logs in, key version"], ""),
    trouble("keytab empty", ": >$KEYTAB", KERBEROS,
        &["OK    kerberos: make", "(it is empty)"], ""),
    trouble("keytab truncated", "truncate -s 40 $KEYTAB", KERBEROS,
        &["OK    kerberos: make", "(it is truncated: of entry 1 there are 34 of"], ""),
    trouble("keytab no keytab", "echo nonsense >$KEYTAB", KERBEROS,
        &["OK    kerberos: make", "(it is not a keytab: it begins with"], ""),
    trouble("keytab of another principal", "rm $KEYTAB; $KADMIN addprinc -randkey other; $KADMIN ktadd -k $KEYTAB other", KERBEROS,
        &["OK    kerberos: make", "(it is for other@FLUME.TEST)"], ""),
    trouble("keytab of an old key version", "$KADMIN ktadd -k /tmp/newer $PRINCIPAL", KERBEROS,
        &["OK    kerberos: make", "(its key version ", "is not the KDC's)"], ""),
    trouble("keytab owned by root", "chown root:root $KEYTAB", KERBEROS,
        &["OK    kerberos: give /etc/flume/conf/flume.service.keytab to flume:flume, mode 0600"], ""),
    trouble("keytab of the service's earlier user", "chown games $KEYTAB", KERBEROS,
        &["OK    kerberos: take /etc/flume/conf/flume.service.keytab from user", "give /etc/flume/conf/flume.service.keytab to flume:flume, mode 0600"], ""),
    trouble("keytab that its earlier user holds open", "chown games $KEYTAB", "( exec 3>>$KEYTAB; $PROVISION kerberos; echo forged >&3 ); $PROVISION kerberos",
        &["OK    kerberos: take /etc/flume/conf/flume.service.keytab from user", "PASS  kerberos: nothing to do"], ""),
    trouble("configuration that the service holds open", "chown flume /etc/flume/conf/flume.conf", "( exec 3>>/etc/flume/conf/flume.conf; $PROVISION --from-self install; echo forged >&3 ); grep -c forged /etc/flume/conf/flume.conf",
        &["OK    install: give /etc/flume/conf/flume.conf to root:flume, mode 0640", "\n0\n"], ""),
    trouble("a FIFO in the place of the keytab", "rm $KEYTAB; mkfifo $KEYTAB", "timeout 60 $PROVISION kerberos; timeout 60 /usr/bin/flume-ng doctor",
        &["FAIL  kerberos: /etc/flume/conf/flume.service.keytab is a FIFO", "DO  keytab: /etc/flume/conf/flume.service.keytab is a FIFO"], "rm $KEYTAB; $PROVISION kerberos"),
    trouble("a FIFO in the place of core-site.xml", "mkfifo /etc/flume/conf/core-site.xml", "timeout 60 $PROVISION check; timeout 60 /usr/bin/flume-ng doctor",
        &["FAIL  check: failed to read /etc/flume/conf/core-site.xml: it is not a regular file", "DO  hadoop: failed to read"], "rm /etc/flume/conf/core-site.xml"),
    trouble("keytab with mode 0644", "chmod 0644 $KEYTAB", KERBEROS,
        &["OK    kerberos: give /etc/flume/conf/flume.service.keytab to flume:flume, mode 0600"], ""),
    trouble("principal removed in the KDC", "$KADMIN delprinc -force $PRINCIPAL", KERBEROS,
        &["OK    kerberos: make", "(the KDC does not know flume/node1.flume.test@FLUME.TEST)"], ""),
    trouble("principal locked in the KDC", "$KADMIN modprinc -allow_tix $PRINCIPAL", KERBEROS,
        &["FAIL  kerberos: flume/node1.flume.test@FLUME.TEST is locked or disabled in the realm; unlock it"],
        "$KADMIN modprinc +allow_tix $PRINCIPAL"),
    trouble("working key left alone", "$KADMIN getprinc $PRINCIPAL | grep vno >/tmp/before", "$PROVISION kerberos && $KADMIN getprinc $PRINCIPAL | grep vno | cmp - /tmp/before && echo same",
        &["PASS  kerberos: nothing to do", "same"], ""),
    trouble("wrong admin password", "rm $KEYTAB; echo wrong >/root/password", KERBEROS,
        &["FAIL  kerberos: the password of root/admin@FLUME.TEST is wrong; correct kadmin_password"],
        "echo secret >/root/password"),
    trouble("no admin password", "rm -f $KEYTAB /root/password", KERBEROS,
        &["FAIL  kerberos: there is no password for root/admin@FLUME.TEST; set krb5_client.kadmin_password_file"],
        "umask 077; echo secret >/root/password"),
    trouble("admin without rights", "rm -f $KEYTAB; $KADMIN addprinc -pw secret guest; sed -i s:root/admin:guest: /root/node.json", KERBEROS,
        &["FAIL  kerberos: guest@FLUME.TEST may not do that in kadmind's ACL"],
        "sed -i s:guest:root/admin: /root/node.json"),
    trouble("missing policy", "rm -f $KEYTAB; $KADMIN delprinc -force $PRINCIPAL; sed -i 's/kadmin_principal/kadmin_policy: \"hard\" &/' /root/node.json", KERBEROS,
        &["FAIL  kerberos: the realm has no policy `hard`; kadmin: addpol hard"],
        "sed -i 's/kadmin_policy: \"hard\" //' /root/node.json"),
    trouble("no kadmind", "rm -f $KEYTAB; sed 's/admin_server = .*/admin_server = 127.0.0.1:1/' $KRB5_CONFIG >/root/krb5.conf", "KRB5_CONFIG=/root/krb5.conf $PROVISION kerberos",
        &["FAIL  kerberos: no kadmind answers; is kadmind running"], ""),
    trouble("by kadmin.local on the KDC", "rm -f $KEYTAB", "$PROVISION kerberos --local",
        &["OK    kerberos: make", "logs in, key version"], ""),
    trouble("--local elsewhere", "rm -f $KEYTAB", "env -u KRB5_KDC_PROFILE $PROVISION kerberos --local",
        &["FAIL  kerberos: there is no database of the realm on this host", "elsewhere leave it out"], ""),
    trouble("no KDC", "sed 's/ kdc = .*/ kdc = 127.0.0.1:1/' $KRB5_CONFIG >/root/krb5.conf", "KRB5_CONFIG=/root/krb5.conf $PROVISION kerberos",
        &["FAIL  kerberos: no KDC of FLUME.TEST answers (127.0.0.1:1: Connection refused"], ""),
    trouble("clock skewed by an hour", "", SKEW,
        &["FAIL  kerberos: this host's clock is 36", "s ahead of the KDC's, 300 s are forgiven; set both by NTP"], ""),
    trouble("conf dir not writable", "mount -t tmpfs -o ro none /etc/flume/conf", KERBEROS,
        &["FAIL  kerberos: failed to make /etc/flume/conf/.keytab-new: Read-only file system", "mount it writable"],
        "umount /etc/flume/conf"),
    trouble("two at the same time", "rm -f $KEYTAB", "$PROVISION kerberos >/tmp/one 2>&1 & $PROVISION kerberos >/tmp/two 2>&1; wait; $PROVISION kerberos >/tmp/three 2>&1; cat /tmp/one /tmp/two; echo; tail -n 2 /tmp/three; grep -h '^FAIL' /tmp/one /tmp/two | grep -v 'run this again' || echo understood",
        &["understood", "logs in, key version"], ""),
    trouble("repaired after all this", "", KERBEROS, &["logs in, key version"], ""),
    trouble("not root", "rm /etc/flume/node.json", "setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/flume-ng provision --config /tmp/plain.json configure",
        &["FAIL  configure: only root may write /etc/flume/node.json; run it by sudo; --dry-run needs no rights"], ""),
    trouble("not root, dry run", "", "setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/flume-ng provision --config /tmp/plain.json --from-self --dry-run && echo fine",
        &["WOULD configure: write /etc/flume/node.json", "fine"], "$PROVISION configure"),
    trouble("relative conf dir", "", "echo '{host: \"node1.flume.test\", hdp: {flume_conf_dir: \"conf\"}}' >/tmp/wrong.json; /usr/bin/flume-ng provision --config /tmp/wrong.json",
        &["FAIL  configure: /tmp/wrong.json:1:50: hdp.flume_conf_dir: expected an absolute path, found `conf`", "FAIL  install: not tried, because configure failed"], ""),
    trouble("host without a domain", "", "echo '{host: \"node1\", krb5_client: {}}' >/tmp/wrong.json; /usr/bin/flume-ng provision --config /tmp/wrong.json configure",
        &["/tmp/wrong.json:1:8: host: expected a host name with its domain"], ""),
    trouble("realm not in krb5.conf", "", "echo '{krb5_client: {realm: \"FLUME.TSET\"}}' >/tmp/wrong.json; /usr/bin/flume-ng provision --config /tmp/wrong.json configure",
        &["the realm `FLUME.TSET` is not in", "did you mean `FLUME.TEST`?"], ""),
    trouble("no package and no repository", "rm /usr/bin/flume-ng", "$PROVISION_BUILT install",
        &["FAIL  install: package flume-ng is not installed, and no repository of this host has it; give --package FILE.deb, or --from-self"],
        "$PROVISION_BUILT --from-self install"),
    trouble("directory of another owner", "chown root:root /var/lib/flume", "$PROVISION --from-self install",
        &["OK    install: give /var/lib/flume to flume:flume, mode 0750"], ""),
    trouble("state of the service's earlier user", "mkdir -p /var/lib/flume/a1/c1; echo event >/var/lib/flume/a1/c1/segment-1; chown -R flume:flume /var/lib/flume; sed 's/flume_user: \"flume\"/flume_user: \"svc\"/' /root/node.json >/root/other.json",
        "/usr/bin/flume-ng provision --config /root/other.json --from-self install; find /var/lib/flume /var/log/flume ! -user svc | wc -l | sed 's/^/others: /'
$PROVISION --from-self install; find /var/lib/flume /var/log/flume ! -user flume | wc -l | sed 's/^/then others: /'",
        &["give /var/lib/flume to svc:flume, mode 0750, with what the service's earlier user has in it", "others: 0", "give /var/lib/flume to flume:flume", "then others: 0"], ""),
    trouble("doctor on a well host", "echo 'a1.sources = r1' >/etc/flume/conf/flume.conf", "/usr/bin/flume-ng doctor",
        &["OK  clock: ", "logs in, key version", "the KDC encrypts with", "OK  name, reverse: node1.flume.test is 127.0.0.1", "OK  directory /var/lib/flume: flume:flume"], ""),
    trouble("doctor on a sick host", "chmod 0644 $KEYTAB; chown root /var/log/flume", "faketime '+1 hour' /usr/bin/flume-ng doctor",
        &["DO  clock: this host's clock is", "DO  keytab /etc/flume/conf/flume.service.keytab: mode 0644, should be 0600", "DO  directory /var/log/flume: owned by user 0, should be flume"], ""),
];
