//! What every page has around it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A whole page with `title` in its tab and `body` between header and end.
pub(super) fn framed(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, None))
            body {
                header {
                    h1 { a href="/" { "Almenara" } }
                    nav { a href="/#alerts" { "Alerts" } a href="/#slos" { "SLOs" } a href="/#rules" { "Rules" } a href="/#targets" { "Targets" } a href="/alerts/history" { "History" } a href="/rules/outcomes" { "Evaluations" } a href="/graph" { "Query" } }
                }
                main { (body) }
            }
        }
    }
}

/// The head of a page that loads itself again every `refresh_secs`, if given.
pub(super) fn head(title: &str, refresh_secs: Option<u32>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            @if let Some(secs) = refresh_secs { meta http-equiv="refresh" content=(secs); }
            link rel="icon" href="data:,";
            title { (title) }
            style { (PreEscaped(super::SHEET)) (PreEscaped(super::chart::STYLE)) }
        }
    }
}

/// `name=value`, each on its own ground.
pub(super) fn label_chips<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! { span.labels { @for (name, value) in pairs { span { (name) "=" (value) } " " } } }
}
