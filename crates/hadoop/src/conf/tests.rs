//! Files as sites have them, and what they come to.

use std::{collections::BTreeMap, fs, io};

use super::*;

/// Properties of a core-site.xml, each on a line of its own: the first is on line 2.
fn site(properties: &str) -> Hadoop {
    let lines: String = properties
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
            format!("<property><name>{name}</name><value>{value}</value></property>\n")
        })
        .collect();
    let text = format!("<configuration>\n{lines}</configuration>");
    Hadoop::of(parse(&text, Path::new("core-site.xml"), &no_file).unwrap())
}

fn no_file(path: &Path) -> io::Result<String> {
    Err(io::Error::other(format!("there is no {}", path.display())))
}

fn with_files(text: &str, files: &[(&str, &str)]) -> Result<Vec<XmlProperty>, String> {
    let load = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found
            .map(|(_, text)| text.to_string())
            .ok_or_else(|| io::Error::other("not found"))
    };
    parse(text, Path::new("/etc/hadoop/conf/core-site.xml"), &load)
        .map_err(|error| error.to_string())
}

#[test]
fn every_shape_of_a_property_is_read() {
    let text = r#"<?xml version="1.0"?>
<?xml-stylesheet type="text/xsl" href="configuration.xsl"?>
<!DOCTYPE configuration [<!ENTITY port "8020">]>
<configuration xmlns:xi="http://www.w3.org/2001/XInclude">
  <property><name> fs.defaultFS </name><value>
    hdfs://nn1:&port;
  </value><description>ours</description></property>
  <property name="dfs.replication" value="2" final="true"/>
  <property><name>a</name><value>x<!-- not y -->z&amp;</value></property>
  <configuration><property><name>nested</name><value>1</value></property></configuration>
  <property><name>unset</name></property>
  <other/>
</configuration>"#;
    let properties = with_files(text, &[]).unwrap();
    let hadoop = Hadoop::of(properties);
    let seen: Vec<_> = hadoop
        .settings()
        .map(|(key, set)| (key, set.value.as_str(), set.position.line))
        .collect();
    let expected = [
        ("a", "xz&", 9),
        ("dfs.replication", "2", 8),
        ("fs.defaultFS", "hdfs://nn1:8020", 5),
        ("nested", "1", 10),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn files_include_others() {
    let site = |inside: &str| {
        format!(
            "<configuration xmlns:xi='http://www.w3.org/2001/XInclude'>\n{inside}\n</configuration>"
        )
    };
    let property = "<property><name>a</name><value>1</value></property>";
    let other = format!("<configuration>{property}</configuration>");
    let files = [
        ("/etc/hadoop/conf/more/x.xml", other.as_str()),
        ("/abs.xml", other.as_str()),
    ];
    for href in ["more/x.xml", "/abs.xml", "file:///abs.xml"] {
        let read = with_files(&site(&format!("<xi:include href='{href}'/>")), &files).unwrap();
        assert_eq!((read.len(), read[0].name.as_str()), (1, "a"), "{href}");
    }
    let fallback = site(&format!(
        "<xi:include href='none.xml'><xi:fallback>{property}</xi:fallback></xi:include>"
    ));
    assert_eq!(with_files(&fallback, &[]).unwrap().len(), 1);

    let check = |inside: &str, expected: &str| {
        let own = [(
            "/etc/hadoop/conf/core-site.xml",
            &*site("<xi:include href='core-site.xml'/>"),
        )];
        assert_eq!(
            with_files(&site(inside), &own).unwrap_err(),
            format!("/etc/hadoop/conf/core-site.xml:2: {expected}")
        );
    };
    check(
        "<xi:include href='none.xml'/>",
        "failed to include /etc/hadoop/conf/none.xml: not found",
    );
    check("<xi:include/>", "an <include> has no href");
    check(
        "<xi:include href='http://x/y.xml'/>",
        "`http://x/y.xml` cannot be included: only files can, not http:",
    );
    check(
        "<xi:include href='core-site.xml'/>",
        "more than 16 files within each other",
    );

    let many = site(&"<xi:include href='one.xml'/>".repeat(300));
    let include = site(property);
    let error = with_files(&many, &[("/etc/hadoop/conf/one.xml", &include)]).unwrap_err();
    assert!(
        error.ends_with("more than 256 files are included"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_has_its_line() {
    let check = |text: &str, expected: &str| {
        let error = with_files(text, &[]).unwrap_err();
        assert!(
            error.starts_with(&format!("/etc/hadoop/conf/core-site.xml:{expected}")),
            "{error}"
        );
    };
    check(
        "<configuration>\n<property>\n</configuration>",
        "3: this is not XML: ",
    );
    check("", "1: this is not XML: ");
    check("<html/>", "1: expected <configuration>, found <html>");
    check(
        "<configuration>\n\n<property><value>1</value></property></configuration>",
        "3: a <property> has no <name>",
    );
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_an_error_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core-site.xml");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    let said = Hadoop::read(&[dir.path().into()]).unwrap_err().to_string();
    assert!(
        said.ends_with("core-site.xml: it is not a regular file"),
        "{said}"
    );
}

#[test]
fn later_files_win_except_over_final_values() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    let system = dir.path().join("system");
    for directory in [&own, &system] {
        fs::create_dir(directory).unwrap();
    }
    let write = |path: PathBuf, properties: &str| {
        fs::write(path, format!("<configuration>{properties}</configuration>")).unwrap();
    };
    write(
        own.join("core-site.xml"),
        "<property><name>fs.default.name</name><value>hdfs://a:1</value><final>true</final></property>
         <property><name>dfs.replication</name><value>2</value></property>",
    );
    write(
        system.join("core-site.xml"),
        "<property><name>hidden</name><value>1</value></property>",
    );
    write(
        system.join("hdfs-site.xml"),
        "<property><name>fs.defaultFS</name><value>hdfs://b:1</value></property>
         <property><name>dfs.replication</name><value>1</value></property>",
    );
    let hadoop = Hadoop::read(&[dir.path().join("none"), own.clone(), system.clone()]).unwrap();
    assert_eq!(
        hadoop.files,
        [own.join("core-site.xml"), system.join("hdfs-site.xml")]
    );
    assert_eq!(
        (hadoop.get("fs.defaultFS"), hadoop.get("dfs.replication")),
        (Some("hdfs://a:1"), Some("1"))
    );
    assert_eq!(
        hadoop
            .setting("fs.defaultFS")
            .unwrap()
            .written_as
            .as_deref(),
        Some("fs.default.name")
    );
    assert_eq!(
        (hadoop.get("hidden"), hadoop.get("dfs.blocksize")),
        (None, Some("134217728"))
    );
    let core = own.join("core-site.xml");
    let hdfs = system.join("hdfs-site.xml");
    let warning = format!(
        "{}:1: `fs.defaultFS` has no effect: it is final at {}:1",
        hdfs.display(),
        core.display()
    );
    assert_eq!(hadoop.warnings, [warning]);
}

#[test]
fn values_refer_to_keys_defaults_and_former_names() {
    let hadoop = site(
        "host = nn1
         fs.default.name = hdfs://${host}:9000
         home = ${fs.default.name}/user/${user.name}
         blocks = ${dfs.block.size}
         loop = ${loop}",
    );
    let user = flume_kerberos::user_name();
    assert_eq!(
        hadoop.get("home"),
        Some(format!("hdfs://nn1:9000/user/{user}").as_str())
    );
    assert_eq!(hadoop.get("blocks"), Some("134217728"));
    assert_eq!(
        hadoop.warnings,
        ["core-site.xml:6: `loop` refers to itself by ${loop}"]
    );
}

#[test]
fn directories_are_looked_into_in_flumes_order() {
    let check = |conf: Option<&str>, variables: &[(&str, &str)], expected: &[&str]| {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let seen = directories(conf.map(Path::new), |name| {
            variables.get(name).map(PathBuf::from)
        });
        assert_eq!(seen, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
    };
    check(None, &[], &["/etc/hadoop/conf"]);
    check(
        Some("conf"),
        &[("HADOOP_CONF_DIR", "/c"), ("HADOOP_HOME", "/h")],
        &["conf", "/c", "/h/etc/hadoop", "/etc/hadoop/conf"],
    );
    check(None, &[("HADOOP_CONF_DIR", "")], &["/etc/hadoop/conf"]);
}

#[test]
fn settings_of_a_client() {
    let settings = ClientSettings::of(&Hadoop::default()).unwrap();
    assert_eq!(
        (settings.replication, settings.block_size, settings.umask),
        (3, 128 << 20, 0o022)
    );
    assert_eq!(
        (settings.kerberos, settings.rpc_protection),
        (false, vec![Protection::Authentication])
    );
    let hadoop = site(
        "dfs.replication = 2
         dfs.block.size = 64m
         dfs.umaskmode = 077
         hadoop.security.authentication = KERBEROS
         hadoop.rpc.protection = privacy, integrity
         dfs.data.transfer.protection = privacy",
    );
    let settings = ClientSettings::of(&hadoop).unwrap();
    assert_eq!(
        (settings.replication, settings.block_size, settings.umask),
        (2, 64 << 20, 0o077)
    );
    assert_eq!(
        settings.rpc_protection,
        [Protection::Privacy, Protection::Integrity]
    );
    assert_eq!(
        (settings.kerberos, settings.data_protection),
        (true, vec![Protection::Privacy])
    );
}

#[test]
fn wrong_settings_are_all_reported_with_their_lines() {
    let hadoop = site(
        "dfs.replication = many
         dfs.block.size = 1000
         hadoop.security.authentication = ldap
         hadoop.rpc.protection = auth-conf",
    );
    let errors: Vec<_> = ClientSettings::of(&hadoop)
        .unwrap_err()
        .iter()
        .map(HadoopError::to_string)
        .collect();
    let expected = [
        "core-site.xml:2: `dfs.replication` expected a whole number from 1 to 512, found `many`",
        "core-site.xml:4: `hadoop.security.authentication` expected simple or kerberos, found `ldap`",
        "core-site.xml:5: `hadoop.rpc.protection` expected authentication, integrity or privacy, or several of them, found `auth-conf`",
        "core-site.xml:3: `dfs.block.size` is 1000, which is not a multiple of `dfs.bytes-per-checksum`, 512",
    ];
    assert_eq!(errors, expected);
}

const CLUSTERS: &str = "fs.defaultFS = hdfs://prod
    dfs.nameservices = prod, lone, broken
    dfs.ha.namenodes.prod = nn1, nn2
    dfs.namenode.rpc-address.prod.nn1 = master1.example.com
    dfs.namenode.rpc-address.prod.nn2 = master2.example.com:9000
    dfs.client.failover.proxy.provider.prod = org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider
    dfs.namenode.rpc-address.lone = only:8021
    dfs.ha.namenodes.broken = nn1,nn2
    dfs.namenode.rpc-address.broken.nn1 = x:1
    dfs.client.failover.proxy.provider.half = x
    fs.viewfs.mounttable.t.link./logs = hdfs://prod/data/logs
    fs.viewfs.mounttable.t.link./logs/old = hdfs://lone/
    fs.viewfs.mounttable.t.link./local = file:///srv
    fs.viewfs.mounttable.round.link./a = viewfs://round/a
    fs.viewfs.mounttable.fall.linkFallback = hdfs://other:1/base/
    fs.viewfs.mounttable.nfly.linkNfly../x = hdfs://a,hdfs://b";

#[test]
fn paths_lead_to_clusters() {
    let clusters = site(CLUSTERS);
    let check = |path: &str, expected: &str| {
        let seen = match clusters.target(path) {
            Ok(Target::Local { path }) => format!("local {path}"),
            Ok(Target::Hdfs {
                url,
                path,
                namenodes,
            }) => {
                let namenodes: Vec<_> = namenodes.iter().map(NameNode::to_string).collect();
                format!("{url} {path} at {}", namenodes.join(" "))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(seen, expected, "{path}");
    };
    let prod = "at master1.example.com:8020 master2.example.com:9000";
    check("/logs/%Y", &format!("hdfs://prod /logs/%Y {prod}"));
    check("hdfs:///logs/a:b", &format!("hdfs://prod /logs/a:b {prod}"));
    check("hdfs://prod/x", &format!("hdfs://prod /x {prod}"));
    check("hdfs://lone", "hdfs://only:8021 / at only:8021");
    check("hdfs://other/x", "hdfs://other:8020 /x at other:8020");
    check(
        "hdfs://10.0.0.1:9000/x//y",
        "hdfs://10.0.0.1:9000 /x//y at 10.0.0.1:9000",
    );
    check("hdfs://[::1]:9000/x", "hdfs://[::1]:9000 /x at [::1]:9000");
    check("file:///tmp/x", "local /tmp/x");
    check("file:/tmp/x", "local /tmp/x");
    check(
        "viewfs://t/logs/2026",
        &format!("hdfs://prod /data/logs/2026 {prod}"),
    );
    check("viewfs://t/logs/old/x", "hdfs://only:8021 /x at only:8021");
    check(
        "viewfs://t/logs/older",
        &format!("hdfs://prod /data/logs/older {prod}"),
    );
    check("viewfs://t/local/a", "local /srv/a");
    check("viewfs://fall/a", "hdfs://other:1 /base/a at other:1");
}

#[test]
fn paths_that_lead_nowhere_are_said_so() {
    let clusters = site(CLUSTERS);
    let check = |path: &str, expected: &str| {
        assert_eq!(
            clusters.target(path).unwrap_err().to_string(),
            expected,
            "{path}"
        );
    };
    check(
        "hdfs://prod:8020/x",
        "hdfs://prod:8020 has a port, but `prod` is a nameservice: write hdfs://prod",
    );
    check(
        "hdfs://broken/x",
        "core-site.xml:9: `dfs.ha.namenodes.broken` lists `nn2`, but `dfs.namenode.rpc-address.broken.nn2` is not set",
    );
    check(
        "hdfs://half/x",
        "core-site.xml:11: `dfs.client.failover.proxy.provider.half` makes half a nameservice, but `dfs.ha.namenodes.half` is not set",
    );
    check(
        "hdfs://a:b/x",
        "hdfs://a:b: expected host:port, found `a:b`",
    );
    check("logs", "`logs` is not an absolute path");
    check(
        "s3a://bucket/x",
        "`s3a` is a file system that this build does not have; there are hdfs, viewfs and file",
    );
    check(
        "viewfs://t/x",
        "viewfs://t/x is below no link of mount table `t`, which has /local, /logs, /logs/old",
    );
    check(
        "viewfs://none/x",
        "viewfs://none/x: there is no mount table `none`: no `fs.viewfs.mounttable.none.link.…` is set",
    );
    check(
        "viewfs://round/a",
        "viewfs://round: more than 8 links lead to each other",
    );
    for target in ["VIEWFS://t/a", "viewfs:/a", "/a"] {
        let site = site(&format!(
            "fs.defaultFS = viewfs://t\nfs.viewfs.mounttable.t.link./a = {target}"
        ));
        let error = site.target("/a").unwrap_err().to_string();
        assert_eq!(
            error, "viewfs://t: more than 8 links lead to each other",
            "{target}"
        );
    }
    check(
        "viewfs://nfly/x",
        "core-site.xml:17: `fs.viewfs.mounttable.nfly.linkNfly../x` is a link of a kind that this client does not know: linkNfly",
    );
    let bare = Hadoop::default()
        .target("hdfs:///x")
        .unwrap_err()
        .to_string();
    assert_eq!(
        bare,
        "hdfs:///x names no host, and neither does `fs.defaultFS`, which is `file:///`"
    );
}

#[test]
fn a_client_is_handed_plain_values() {
    let map = site(CLUSTERS).to_map();
    assert_eq!(map["dfs.ha.namenodes.prod"], "nn1,nn2");
    assert_eq!(
        map["dfs.namenode.rpc-address.prod.nn1"],
        "master1.example.com:8020"
    );
    assert!(!map.contains_key("dfs.replication"));
}

/// Any text at all: no panic. The fuzz target goes further.
#[test]
fn mutilated_files_are_refused_or_read() {
    let text = "<!DOCTYPE c [<!ENTITY a \"&b;\"><!ENTITY b \"${x}\">]>\n<configuration><property><name>x</name><value>&a;${y}</value>\
                <final>true</final></property><include href='a'/></configuration>";
    for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
        for insert in ["", "<", ">", "&", "]]>", "\0", "${", "é"] {
            let broken = format!(
                "{}{insert}{}",
                &text[..cut],
                &text[(cut + insert.len()).min(text.len())..]
            );
            if let Ok(properties) = parse(&broken, Path::new("f"), &no_file) {
                let hadoop = Hadoop::of(properties);
                let _ = (
                    ClientSettings::of(&hadoop),
                    hadoop.target("/x"),
                    hadoop.to_map(),
                );
            }
        }
    }
}
