//! PostgreSQL servers for tests: real ones, made in a moment, gone with the process.
//!
//! A server lives in a folder of its own below the system's folder for temporary files, listens
//! on a unix socket there and nowhere else, and trusts everybody who reaches it. Its programs are
//! those in `PATH`, or Debian's newest. Where there are none, [`Server::start`] says so and gives
//! `None`, and the test that asked passes without having tested.
//!
//! Each server has a guard, a shell that waits for its standard input to close: that happens when
//! the [`Server`] is dropped and also when the process dies, however it dies. The guard then stops
//! the server and deletes the folder.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The user that every server knows.
pub const USER: &str = "tandem";

/// What every server is told at first. Sockets alone, so that no other machine and no port is concerned.
const SETTINGS: &str = "
    listen_addresses = ''
    max_connections = 100
    wal_level = replica
    wal_keep_size = 64MB
    shared_buffers = 32MB
";

const GUARD: &str = r#"trap '' INT TERM HUP
read -r _
"$1/pg_ctl" stop -D "$2/data" -m immediate
rm -rf "$2"
"#;

/// A server and its folder.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    guard: Child,
}

impl Server {
    /// Makes and starts a server; `None` where PostgreSQL is not installed.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is there and does not start.
    pub fn start() -> Option<Server> {
        let server = Server::folder(Programs::find()?);
        let data = server.data();
        let flags = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"];
        server.run("initdb", &[&["-D", &data, "-U", USER][..], &flags].concat());
        server.configure(SETTINGS);
        server.restart();
        Some(server)
    }

    /// The one server that the tests of a process share. Each test makes a [schema](Self::schema).
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub fn shared() -> Option<&'static Server> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(Server::start).as_ref()
    }

    /// A copy of this server that follows it, and without which this one confirms no commit.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn synchronous_standby(&self) -> Server {
        let standby = Server::folder(self.programs.clone());
        let socket = self.socket();
        let name = "standby";
        let primary = format!("host={socket} user={USER} application_name={name}");
        let flags = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"];
        let from = ["-D", &standby.data(), "-d", &primary];
        standby.run("pg_basebackup", &[&from[..], &flags].concat());
        standby.restart();
        self.configure(&format!("synchronous_standby_names = '{name}'"));
        self.run("pg_ctl", &["reload", "-D", &self.data()]);
        standby
    }

    /// Makes an empty schema, which keeps a test's tables apart, and gives its name.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn schema(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql(&name, &format!("CREATE SCHEMA {name}"));
        name
    }

    /// Runs statements in a schema and gives the values they answer, one row in a line.
    ///
    /// # Panics
    ///
    /// When the server refuses one.
    pub fn sql(&self, schema: &str, statements: &str) -> String {
        let (address, stop) = (address(&[self], schema), "ON_ERROR_STOP=1");
        let arguments = ["-qAtX", "-v", stop, "-d", &address, "-c", statements];
        self.run("psql", &arguments)
    }

    /// Appends to the server's configuration. It counts from the next [`Self::restart`].
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn configure(&self, settings: &str) {
        let append = r#"printf '%s\n' "$2" >>"$1/postgresql.auto.conf""#;
        done(self.shell(append, &[&self.data(), settings]));
    }

    /// Ends the server without letting it finish anything, as a crash does.
    ///
    /// # Panics
    ///
    /// When it is not running.
    pub fn crash(&self) {
        self.run("pg_ctl", &["stop", "-D", &self.data(), "-m", "immediate"]);
    }

    /// Kills every process of the server at once; it leaves its lock file behind.
    ///
    /// # Panics
    ///
    /// When it is not running.
    pub fn kill(&self) {
        // The children notice that their parent died and go too.
        done(self.shell(
            r#"kill -9 "$(head -n 1 "$1/postmaster.pid")""#,
            &[&self.data()],
        ));
    }

    /// Starts the server, stopping it first where it runs.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&self) {
        let (data, log) = (self.data(), self.path("log"));
        let socket = format!("-k {}", self.socket());
        let how = ["-w", "-m", "fast", "-s", "-l", &log, "-o", &socket];
        self.run("pg_ctl", &[&["restart", "-D", &data][..], &how].concat());
    }

    /// Starts the server anew on a port of this machine, where it speaks nothing but TLS, by a
    /// certificate and its key. From then on it is not found at its socket.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn speak_tls(&self, pem: &str) -> u16 {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = free.expect("there is a free port").port();
        let write = r#"umask 077; printf '%s' "$2" >"$1/tls.pem"
            echo 'hostssl all all 127.0.0.1/32 trust' >"$1/pg_hba.conf""#;
        done(self.shell(write, &[&self.data(), pem]));
        self.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\n\
             ssl_cert_file = 'tls.pem'\nssl_key_file = 'tls.pem'"
        ));
        self.restart();
        port
    }

    /// Makes a standby a server of its own.
    ///
    /// # Panics
    ///
    /// When it is no standby.
    pub fn promote(&self) {
        self.run("pg_ctl", &["promote", "-w", "-D", &self.data()]);
    }

    /// The folder with the server's socket, which stands for its host.
    pub fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    /// An empty folder that belongs to the server's user, and its guard.
    fn folder(programs: Programs) -> Server {
        let template = env::temp_dir().join("tandem-pg.XXXXXX");
        let made = programs.command("mktemp").arg("-d").arg(template).output();
        let folder = PathBuf::from(done(made).trim_end());
        let bin = programs.bin.display().to_string();
        let guard = programs
            .command("sh")
            .args(["-c", GUARD, "guard", &bin])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        Server {
            programs,
            folder,
            guard,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn data(&self) -> String {
        self.path("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let path = self.programs.bin.join(program).display().to_string();
        done(self.shell(r#""$@" </dev/null"#, &[&[&path[..]], arguments].concat()))
    }

    /// Runs a script whose `$1` and further are the arguments, as the server's user.
    ///
    /// Its output goes through files: a server that it starts keeps what it inherits open.
    fn shell(&self, script: &str, arguments: &[&str]) -> std::io::Result<std::process::Output> {
        let script =
            format!(r#"{{ {script}; }} >"$0" 2>&1; code=$?; cat "$0"; rm "$0"; exit $code"#);
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let output = self.path(&format!("out{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        self.programs
            .command("sh")
            .args(["-c", &script, &output])
            .args(arguments)
            .current_dir("/")
            .env("LC_ALL", "C")
            .output()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The connection string of a schema that is on the first of these servers that fits. It also
/// names the connections (`application_name`) after the schema.
pub fn address(servers: &[&Server], schema: &str) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| server.socket()).collect();
    let hosts = hosts.join(",");
    let name = format!("user={USER} dbname=postgres application_name={schema}");
    format!("host={hosts} {name} options='-c search_path={schema}'")
}

/// Where PostgreSQL's programs are, and whether they need another user than us.
#[derive(Clone, Debug)]
struct Programs {
    bin: PathBuf,
    /// PostgreSQL does not run as root.
    as_postgres: bool,
}

impl Programs {
    fn find() -> Option<Programs> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|version| {
                let number = version.file_name().to_str()?.parse().ok()?;
                Some((number, version.path().join("bin")))
            })
            .collect();
        debian.sort();
        let debian = debian.into_iter().rev().map(|(_, bin)| bin);
        let whole = |bin: &PathBuf| {
            let all = ["initdb", "pg_ctl", "pg_basebackup", "psql"];
            all.iter().all(|program| bin.join(program).is_file())
        };
        let Some(bin) = env::split_paths(&path).chain(debian).find(whole) else {
            eprintln!("skipped: PostgreSQL is not installed; see `cargo xtask packages`");
            return None;
        };
        let as_postgres = done(Command::new("id").arg("-u").output()).trim_end() == "0";
        if as_postgres
            && !Command::new("id")
                .arg("postgres")
                .output()
                .ok()?
                .status
                .success()
        {
            eprintln!("skipped: PostgreSQL does not run as root, and no user is named postgres");
            return None;
        }
        Some(Programs { bin, as_postgres })
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        if !self.as_postgres {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    }
}

/// What a program wrote, or a panic with what went wrong.
fn done(output: std::io::Result<std::process::Output>) -> String {
    let output = output.expect("the program is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{more}");
    text
}
