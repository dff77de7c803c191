//! The texts that messages have unless the configuration says otherwise.
//!
//! **Source.** Alertmanager 0.33 `template/default.tmpl`, `template/email.tmpl`: the names that users override or call, and what
//! the texts of chat and pager read like, character by character. The wording of the templates is our own.
//! **Differs:** only the templates of the receivers we build are here; the HTML of e-mails is a plainer page that says the same.

/// The named templates of every message.
pub(super) const TEXT: &str = r#"
{{- define "__alertmanager" }}Alertmanager{{ end }}
{{- define "__alertmanagerURL" }}{{ .ExternalURL }}/#/alerts?receiver={{ urlquery .Receiver }}{{ end }}
{{- define "__subject" -}}
[{{ toUpper .Status }}{{ with .Alerts.Firing }}:{{ len . }}{{ end }}] {{ join " " .GroupLabels.Values }}{{ " " }}
{{- with .CommonLabels.Remove .GroupLabels.Names }}({{ join " " .Values }}){{ end }}
{{- end }}
{{- define "__description" }}{{ end }}
{{- define "__text_alert_list" -}}
{{- range $alert := . }}{{ "Labels:\n" }}
{{- range $pair := $alert.Labels.SortedPairs }}{{ printf " - %s = %s\n" $pair.Name $pair.Value }}{{ end }}{{ "Annotations:\n" }}
{{- range $pair := $alert.Annotations.SortedPairs }}{{ printf " - %s = %s\n" $pair.Name $pair.Value }}{{ end }}
{{- printf "Source: %s\n" $alert.GeneratorURL }}
{{- end }}
{{- end }}
{{- define "__text_alert_list_markdown" -}}
{{- range $alert := . }}{{ "\nLabels:\n" }}
{{- range $pair := $alert.Labels.SortedPairs }}{{ printf "  - %s = %s\n" $pair.Name $pair.Value }}{{ end }}{{ "\nAnnotations:\n" }}
{{- range $pair := $alert.Annotations.SortedPairs }}{{ printf "  - %s = %s\n" $pair.Name $pair.Value }}{{ end }}
{{- printf "\nSource: %s\n" $alert.GeneratorURL }}
{{- end }}{{ "\n" }}
{{- end }}
{{- define "slack.default.title" }}{{ template "__subject" . }}{{ end }}
{{- define "slack.default.username" }}{{ template "__alertmanager" . }}{{ end }}
{{- define "slack.default.titlelink" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{- define "slack.default.fallback" }}{{ template "slack.default.title" . }} | {{ template "slack.default.titlelink" . }}{{ end }}
{{- define "slack.default.color" }}{{ if .Alerts.Firing }}danger{{ else }}good{{ end }}{{ end }}
{{- define "slack.default.callbackid" }}{{ end }}
{{- define "slack.default.pretext" }}{{ end }}
{{- define "slack.default.iconemoji" }}{{ end }}
{{- define "slack.default.iconurl" }}{{ end }}
{{- define "slack.default.text" }}{{ end }}
{{- define "slack.default.footer" }}{{ end }}
{{- define "pagerduty.default.description" }}{{ template "__subject" . }}{{ end }}
{{- define "pagerduty.default.client" }}{{ template "__alertmanager" . }}{{ end }}
{{- define "pagerduty.default.clientURL" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{- define "pagerduty.default.instances" }}{{ template "__text_alert_list" . }}{{ end }}
{{- define "email.default.subject" }}{{ template "__subject" . }}{{ end }}
{{- define "email.default.html" -}}
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ template "__subject" . }}</title></head>
<body style="font-family: Helvetica, Arial, sans-serif; font-size: 14px; line-height: 1.5; color: #222; margin: 16px">
<h1 style="font-size: 16px; padding: 12px; color: #fff; background: {{ if .Alerts.Firing }}#b3261e{{ else }}#2e7d32{{ end }}">
{{- len .Alerts }} alert{{ if ne 1 (len .Alerts) }}s{{ end }} for
{{- range .GroupLabels.SortedPairs }} {{ .Name }}={{ .Value }}{{ end }}</h1>
<p><a href="{{ template "__alertmanagerURL" . }}">View in {{ template "__alertmanager" . }}</a></p>
{{- with .Alerts.Firing }}
<h2 style="font-size: 15px">[{{ len . }}] Firing</h2>
{{- template "email.alerts" . }}
{{- end }}
{{- with .Alerts.Resolved }}
<h2 style="font-size: 15px">[{{ len . }}] Resolved</h2>
{{- template "email.alerts" . }}
{{- end }}
<p style="font-size: 12px; color: #777"><a href="{{ .ExternalURL }}">Sent by {{ template "__alertmanager" . }}</a></p>
</body>
</html>
{{ end }}
{{- define "email.alerts" }}
{{- range . }}
<p><strong>Labels</strong><br>
{{- range .Labels.SortedPairs }}
{{ .Name }} = {{ .Value }}<br>
{{- end }}
{{- with .Annotations.SortedPairs }}
<strong>Annotations</strong><br>
{{- range . }}
{{ .Name }} = {{ .Value }}<br>
{{- end }}
{{- end }}
{{- with .GeneratorURL }}
<a href="{{ . }}">Source</a>
{{- end }}</p>
{{- end }}
{{- end }}"#;
