//! Our daemon with its files in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::process::{Running, almenara, free_port, get, post_form, wait_for};

/// A folder with `almenara.yml`, and the daemon that runs on it.
pub(crate) struct Deployment {
    pub(crate) port: u16,
    pub(crate) daemon: Running,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    /// A program with arguments that runs the daemon.
    under: Vec<String>,
}

impl Deployment {
    /// Writes the files, starts the daemon and waits until it is ready.
    pub(crate) fn start(files: &[(&str, &str)], flags: &[&str]) -> Deployment {
        Deployment::start_under(&[], files, flags)
    }

    /// As [`Deployment::start`], where no file may be longer than `file_len_max` bytes until [`Deployment::lift_limit`]: the system then
    /// refuses to write as on a full disk.
    pub(crate) fn start_on_small_disk(files: &[(&str, &str)], file_len_max: u64) -> Deployment {
        let mut under = vec!["prlimit".to_owned(), format!("--fsize={file_len_max}:unlimited")];
        under.extend(bears_limits());
        Deployment::start_under(&under, files, &[])
    }

    /// The same by way of a program with arguments, which takes the daemon and its own as further ones.
    pub(crate) fn start_under(under: &[String], files: &[(&str, &str)], flags: &[&str]) -> Deployment {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in files {
            write(folder.path().join(name), text);
        }
        let port = free_port();
        let mut all = vec![
            format!("--config.file={}", folder.path().join("almenara.yml").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        if !flags.iter().any(|flag| flag.starts_with("--storage.path=")) {
            all.push(format!("--storage.path={}", folder.path().join("data").display()));
        }
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let daemon = spawn(under, &all, &folder.path().join("almenara.log"));
        let deployment = Deployment { port, daemon, folder, flags: all, under: under.to_vec() };
        deployment.wait_until_ready();
        deployment
    }

    /// From now on no file may be longer than `len`, a number of bytes or `unlimited`. The daemon is under [`bears_limits`].
    pub(crate) fn limit_files(&self, len: &str) {
        let daemon = format!("--pid={}", self.daemon.id());
        let status = Command::new("prlimit").args([&daemon, &format!("--fsize={len}:unlimited")]).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot set a limit");
    }

    /// From now on, files may be as long as they want.
    pub(crate) fn lift_limit(&mut self) {
        self.limit_files("unlimited");
        self.under = bears_limits();
    }

    /// Starts the daemon again, as it was started, after it has ended.
    pub(crate) fn start_again(&mut self) {
        self.start_unready();
        self.wait_until_ready();
    }

    /// As [`Deployment::start_again`], without waiting for it.
    pub(crate) fn start_unready(&mut self) {
        self.daemon = spawn(&self.under, &self.flags, &self.path("almenara.log"));
    }

    fn wait_until_ready(&self) {
        wait_for("Almenara is ready", || (get(self.port, "/-/ready").0 == 200).then_some(()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write(self.path(name), text);
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("remove");
    }

    /// `POST /-/reload`.
    pub(crate) fn reload(&self) -> (u16, String) {
        post_form(self.port, "/-/reload", "")
    }

    /// The body of what answers 200.
    pub(crate) fn text(&self, path: &str) -> String {
        let (status, body) = get(self.port, path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The field `data` of an answer.
    pub(crate) fn data(&self, path: &str) -> serde_json::Value {
        let body = self.text(path);
        let mut json: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        json["data"].take()
    }

    /// The values of an instant query, in its order.
    pub(crate) fn values(&self, query: &str) -> Vec<f64> {
        let (status, body) = post_form(self.port, "/api/v1/query", &format!("query={query}"));
        assert_eq!(status, 200, "{query}: {body}");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let result = json["data"]["result"].as_array().expect("result").iter();
        result.filter_map(|element| element["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The value of one of our own metrics, `name` with its labels as written.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.text("/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }

    /// The sum over all labels of one of our own metrics.
    pub(crate) fn sum_of_metric(&self, name: &str) -> f64 {
        let metrics = self.text("/metrics");
        let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// What runs a program without the signal about files that are too long, with which one that knows nothing of it is ended.
pub(crate) fn bears_limits() -> Vec<String> {
    ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(str::to_owned).into()
}

fn spawn(under: &[String], flags: &[String], log: &std::path::Path) -> Running {
    let mut command = almenara();
    if let Some((program, args)) = under.split_first() {
        let daemon = command.get_program().to_owned();
        command = Command::new(program);
        command.args(args).arg(daemon);
    }
    Running::start(command.arg("serve").args(flags), log)
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, text).expect("write");
}
