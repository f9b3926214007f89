//! The released Hadoop: jars by Maven, the shell compiled, certificates made; once for all clusters.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use crate::packages::{command, installing, need, target};

/// Memory of each server; the jars do with less, but then collect garbage all the time.
const HEAP: &str = "-Xmx256m";
/// Of all key stores.
pub(crate) const STORE_PASSWORD: &str = "changeit";

/// An installed Hadoop.
#[derive(Clone, Debug)]
pub(crate) struct Hadoop {
    dir: PathBuf,
    jars: String,
}

impl Hadoop {
    /// Installs what is not there yet, below the target directory.
    pub(crate) fn install() -> Result<Hadoop> {
        need(&[
            ("javac", "openjdk-17-jdk-headless"),
            ("mvn", "maven"),
            ("setpriv", "util-linux"),
        ])?;
        let _alone = installing()?;
        let dir = target().join("hadoop");
        fs::create_dir_all(&dir)?;
        let dir = dir.canonicalize()?;
        let mut hadoop = Hadoop {
            dir,
            jars: String::new(),
        };
        hadoop.jars = hadoop.fetch_jars()?;
        hadoop.compile_shell()?;
        hadoop.make_certificate()?;
        Ok(hadoop)
    }

    /// The class path behind a configuration directory.
    pub(crate) fn class_path(&self, conf: &Path) -> String {
        format!(
            "{}:{}:{}",
            conf.display(),
            self.dir.join("lib").display(),
            self.jars
        )
    }

    /// A command line of java with a class of this class path.
    pub(crate) fn java(
        &self,
        conf: &Path,
        options: &[String],
        class: &str,
        arguments: &[&str],
    ) -> Vec<String> {
        let java = command("java").get_program().to_string_lossy().into_owned();
        let fixed = [HEAP, "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true"].map(String::from);
        let path = ["-cp".into(), self.class_path(conf), class.into()];
        let arguments = arguments
            .iter()
            .map(|argument| argument.to_string())
            .collect();
        [
            vec![java],
            fixed.to_vec(),
            options.to_vec(),
            path.to_vec(),
            arguments,
        ]
        .concat()
    }

    /// The key store of every server, and the trust store of everybody.
    pub(crate) fn stores(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("key.p12"), self.dir.join("trust.p12"))
    }

    /// The class path of all jars, which stay in Maven's local repository.
    fn fetch_jars(&self) -> Result<String> {
        let pom = source("pom.xml");
        let stamp = self.dir.join("pom.xml");
        let list = self.dir.join("jars");
        let there =
            |jars: &str| !jars.is_empty() && jars.split(':').all(|jar| Path::new(jar).exists());
        if let (Ok(known), Ok(jars)) = (fs::read(&stamp), fs::read_to_string(&list))
            && known == fs::read(&pom)?
            && there(&jars)
        {
            return Ok(jars);
        }
        let to = format!("-Dmdep.outputFile={}", list.display());
        let pom_path = pom.display().to_string();
        self.run(
            "mvn",
            &[
                "-B",
                "-q",
                "-f",
                &pom_path,
                "dependency:build-classpath",
                &to,
            ],
        )?;
        fs::copy(&pom, &stamp)?;
        Ok(fs::read_to_string(&list)?.trim().to_string())
    }

    fn compile_shell(&self) -> Result<()> {
        let lib = self.dir.join("lib");
        // The servers' jar carries no webapps, and their HTTP servers want no more than the directories.
        for webapp in ["hdfs", "datanode", "journal", "secondary", "static"] {
            fs::create_dir_all(lib.join("webapps").join(webapp).join("WEB-INF"))?;
        }
        fs::copy(source("log4j.properties"), lib.join("log4j.properties"))?;
        let java = source("Shell.java");
        let stamp = self.dir.join("Shell.java");
        if fs::read(&java)? != fs::read(&stamp).unwrap_or_default() {
            let lib = lib.display().to_string();
            let java_path = java.display().to_string();
            self.run("javac", &["-cp", &self.jars, "-d", &lib, &java_path])?;
            fs::copy(&java, &stamp)?;
        }
        Ok(())
    }

    fn make_certificate(&self) -> Result<()> {
        let (keys, trusted) = self.stores();
        if trusted.exists() {
            return Ok(());
        }
        let keys = keys.display().to_string();
        let trusted = trusted.display().to_string();
        let certificate = self.dir.join("certificate.pem").display().to_string();
        let store = |path: &str| -> Vec<String> {
            let all = [
                "-storetype",
                "PKCS12",
                "-keystore",
                path,
                "-storepass",
                STORE_PASSWORD,
            ];
            [["-alias", "rig"].as_slice(), &all]
                .concat()
                .into_iter()
                .map(String::from)
                .collect()
        };
        let keytool = |words: &[&str], path: &str| {
            let store = store(path);
            let words: Vec<_> = words
                .iter()
                .copied()
                .chain(store.iter().map(String::as_str))
                .collect();
            self.run("keytool", &words)
        };
        let names = [
            "-dname",
            "CN=localhost",
            "-ext",
            "san=dns:localhost,ip:127.0.0.1",
            "-validity",
            "3650",
        ];
        keytool(
            &[
                &["-genkeypair", "-keyalg", "RSA", "-keysize", "2048"],
                &names[..],
            ]
            .concat(),
            &keys,
        )?;
        keytool(&["-exportcert", "-rfc", "-file", &certificate], &keys)?;
        keytool(
            &["-importcert", "-noprompt", "-file", &certificate],
            &trusted,
        )
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("failed to start {program}"))?;
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        ensure!(
            output.status.success(),
            "{program} failed: {}",
            said.concat()
        );
        Ok(())
    }
}

/// A file of `rig/hadoop`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../rig/hadoop")
        .join(name)
}
