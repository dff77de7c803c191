//! `almenara demo`: a simulated service fails and recovers, so that a newcomer sees a burn, a page and a resolve.
//!
//! Nothing is staged in the product: the service is a real HTTP target on loopback that is scraped each second, its SLO is an
//! ordinary one with windows of seconds instead of hours, and the page is delivered to a real webhook, which prints it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use clap::{Arg, ArgMatches, Command};
use tokio::net::TcpListener;

use super::{FAILED, FINE};
use crate::config::{Config, Layer, Settings};
use crate::serve::{self, Daemon};
use crate::source::SourceFile;

/// Requests that the service answers each second.
const REQUESTS_PER_SECOND: u64 = 200;
/// The script: until which second which share of requests fails, in per cent.
const SCRIPT: [(u64, u64, &str); 4] = [
    (25, 0, "all is well"),
    (35, 2, "a few requests fail"),
    (55, 30, "a deployment went wrong: 30 % of requests fail"),
    (110, 0, "rolled back: all is well again"),
];

pub(super) fn command() -> Command {
    Command::new("demo").about("Watch a simulated service fail: a burn, a page and a resolve in about two minutes").arg(
        Arg::new("listen")
            .long("web.listen-address")
            .value_name("HOST:PORT")
            .default_value("127.0.0.1:9597")
            .help("Where the page is"),
    )
}

pub(super) fn run(matches: &ArgMatches) -> u8 {
    let listen = matches.get_one::<String>("listen").cloned().unwrap_or_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return FAILED;
        }
    };
    match runtime.block_on(play(listen)) {
        Ok(()) => FINE,
        Err(error) => {
            eprintln!("{error}");
            FAILED
        }
    }
}

/// What the simulated service has counted.
#[derive(Debug, Default)]
struct Service {
    good: AtomicU64,
    bad: AtomicU64,
}

async fn play(listen: String) -> Result<(), String> {
    let service = Arc::new(Service::default());
    let target = serve_on_loopback(Router::new().route("/metrics", get(metrics)).with_state(service.clone())).await?;
    let webhook = serve_on_loopback(Router::new().route("/", post(print_notification))).await?;

    // What a demonstration counts is no history.
    let folder = std::env::temp_dir().join(format!("almenara-demo-{}", std::process::id()));
    let flags: Layer = [
        ("web.listen-address", listen.as_str()),
        ("log.level", "warn"),
        ("rules.alert.resend-delay", "5s"),
        ("storage.path", &folder.to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let settings = Settings::merge(&Layer::new(), [], &flags).map_err(|errors| errors[0].to_string())?;
    let (config, diagnostics) = Config::embedded(
        &SourceFile::new("<demo>", configuration(target, webhook)),
        &[],
        &[SourceFile::new("<demo slo>", SLO)],
    );
    let config = config.ok_or_else(|| diagnostics.to_string())?;
    let listeners = serve::bind(&[listen]).await.map_err(|error| error.to_string())?;
    let daemon = Daemon::start(config, settings, listeners, None).await.map_err(|error| error.to_string())?;

    say!("A service answers {REQUESTS_PER_SECOND} requests a second. Its SLO: 90 % without error, over an hour.");
    say!("Watch it on http://{} (Ctrl-C ends).\n", daemon.address());
    tokio::select! {
        () = act(&service, &daemon) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    daemon.stop().await;
    // Left to the system if it cannot be removed.
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

/// Follows the script second by second and prints what the SLO says every five.
async fn act(service: &Service, daemon: &Daemon) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut second = 0;
    for (until, percent, says) in SCRIPT {
        say!("{second:>4}s  {says}");
        while second < until {
            tick.tick().await;
            second += 1;
            let bad = REQUESTS_PER_SECOND * percent / 100;
            service.bad.fetch_add(bad, Ordering::Relaxed);
            service.good.fetch_add(REQUESTS_PER_SECOND - bad, Ordering::Relaxed);
            if second % 5 == 0 {
                print_slo(second, daemon);
            }
        }
    }
    say!("\nThat was it. `almenara` alone watches itself; `almenara serve --config.file …` watches yours.");
}

fn print_slo(second: u64, daemon: &Daemon) {
    for slo in daemon.slos() {
        let short = slo.figures.windows.iter().filter(|window| window.window <= Duration::from_secs(60));
        let burns: Vec<String> = short
            .map(|window| {
                let rate = window.burn_rate.map_or("–".to_owned(), |rate| format!("{rate:.1}x"));
                format!("{} {rate}", crate::source::format_duration(window.window))
            })
            .collect();
        let left = slo.figures.budget_remaining_ratio;
        let budget = left.map_or("unknown".to_owned(), |left| format!("{:.0} %", left * 100.0));
        say!("{second:>4}s  budget left {budget}, burn rate over {}", burns.join(", "));
    }
}

async fn serve_on_loopback(router: Router) -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}

async fn metrics(State(service): State<Arc<Service>>) -> String {
    let (good, bad) = (service.good.load(Ordering::Relaxed), service.bad.load(Ordering::Relaxed));
    format!(
        "# TYPE http_requests_total counter\nhttp_requests_total{{code=\"200\"}} {good}\nhttp_requests_total{{code=\"500\"}} {bad}\n"
    )
}

async fn print_notification(body: String) {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&body) else { return };
    for alert in json["alerts"].as_array().into_iter().flatten() {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let what = if alert["status"] == "firing" { "PAGE    " } else { "RESOLVED" };
        let (name, severity) = (text(&alert["labels"]["alertname"]), text(&alert["labels"]["severity"]));
        say!("      {what}  {name} ({severity}): {}", text(&alert["annotations"]["summary"]));
    }
}

fn configuration(target: u16, webhook: u16) -> String {
    format!(
        r#"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
router:
  route: {{receiver: people, group_by: [alertname, slo], group_wait: 0s, group_interval: 1s}}
  receivers:
    - name: people
      webhook_configs: [{{url: "http://127.0.0.1:{webhook}/"}}]
"#
    )
}

/// The four-tier idea with windows of seconds.
const SLO: &str = r#"slos:
  - name: shop-requests
    service: shop
    indicator:
      errors:
        bad: http_requests_total{job="shop",code=~"5.."}
        total: http_requests_total{job="shop"}
    objective: 90
    window: 1h
    alerting:
      tiers:
        - {name: page-fast, severity: page, short: 5s, long: 20s, factor: 2}
"#;
