//! `scrape_config_files`.

use std::fs;
use std::path::Path;

use almenara::config::Config;
use almenara::http::{Auth, Text};
use almenara::promql::Features;

fn load(directory: &Path) -> (Option<Config>, Vec<String>) {
    let (config, diagnostics) = Config::load(&directory.join("almenara.yml"), &|_| None, Features::DEFAULT);
    let prefix = format!("{}/", directory.display());
    (config, diagnostics.iter().map(|diagnostic| diagnostic.to_string().replace(&prefix, "")).collect())
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
    fs::write(directory.join(name), text).unwrap();
}

#[test]
fn jobs_come_from_further_files() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    write(
        directory,
        "almenara.yml",
        "global: {scrape_interval: 7s}\nscrape_config_files: ['jobs/*.yml', jobs/b.yml]\nscrape_configs: [{job_name: own}]\n",
    );
    write(directory, "jobs/b.yml", "scrape_configs: [{job_name: b, bearer_token_file: token}]\n");
    write(directory, "jobs/a.yml", "scrape_configs:\n- {job_name: a1, scrape_interval: 9s}\n- {job_name: a2}\n");
    write(directory, "jobs/empty.yml", "");
    write(directory, "jobs/other.txt", "no YAML: [");
    let (config, errors) = load(directory);
    assert_eq!(errors, Vec::<String>::new());
    let jobs = config.unwrap().scrape_configs;
    let seen: Vec<(&str, u64)> =
        jobs.iter().map(|job| (job.job_name.as_str(), job.scrape_interval.as_secs())).collect();
    assert_eq!(seen, [("own", 7), ("a1", 9), ("a2", 7), ("b", 7)]);
    let token = Some(Text::File(directory.join("jobs/token")));
    assert_eq!(jobs[3].client.auth, Auth::Scheme { scheme: "Bearer".to_owned(), credentials: token });
}

#[test]
fn mistakes_are_told_in_the_file_where_they_stand() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    write(
        directory,
        "almenara.yml",
        "scrape_config_files: [a.yml, b.yml, c.yml, none.yml, 'none*.yml']\nscrape_configs: [{job_name: own}]\n",
    );
    write(directory, "a.yml", "scrape_configs:\n- job_name: x\n- job_name: own\n");
    write(directory, "b.yml", "scrape_configs:\n- job_name: x\n- job_nam: y\nglobal: {}\n");
    write(directory, "c.yml", "- job_name: z\n");
    let (config, errors) = load(directory);
    assert!(config.is_none());
    let expected = [
        "almenara.yml:1:44: \"none.yml\" does not point to an existing file",
        "a.yml:3:13: found multiple scrape configs with job name \"own\"",
        "b.yml:2:13: found multiple scrape configs with job name \"x\"",
        "b.yml:3:3: job_name is empty; write job_name: NAME",
        "b.yml:3:3: unknown key \"job_nam\" in scrape config; did you mean \"job_name\"?",
        "b.yml:4:1: unknown key \"global\" in scrape config file",
        "c.yml:1:1: expected a mapping (scrape config file), found a list",
    ];
    assert_eq!(errors, expected);
}
