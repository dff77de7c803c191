#!/usr/bin/env bash
# Measures `almenara backtest`: RULES (1000) rules over SERIES (1000) series for DAYS (30) days, a sample every SCRAPE (60) seconds, evaluated every
# STEP (1m): wall and processor time, peak memory. usage: benches/backtest.sh [ALMENARA]   (a release build)
set -eu
cd "$(dirname "$0")/.."
almenara=$(realpath "${1:-target/release/almenara}")
rules=${RULES:-1000} series=${SERIES:-1000} days=${DAYS:-30} scrape=${SCRAPE:-60} step=${STEP:-1m}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Counters of a hundred jobs; each has a bad hour on a day of its own.
awk -v series="$series" -v days="$days" -v scrape="$scrape" 'BEGIN {
    srand(1)
    print "# TYPE requests counter"
    for (i = 0; i < series; i++) {
        code = i % 10 == 0 ? "500" : "200"
        value = 0
        bad = 86400 * (i % days) + 3600 * (i % 24)
        for (t = 0; t <= days * 86400; t += scrape) {
            rate = code == "500" ? (t >= bad && t < bad + 3600 ? 5 : 0.01) : 10
            value += int(rate * scrape * (0.5 + rand()))
            printf "requests_total{job=\"job%d\",instance=\"i%d\",code=\"%s\"} %d %d\n", i % 100, i, code, value, 1767225600 + t
        }
    }
    print "# EOF"
}' >samples.om

# A tenth records, the others alert: ratios by job, rates of single series, and rules on what was recorded.
awk -v rules="$rules" -v series="$series" 'BEGIN {
    print "groups:"
    for (i = 0; i < rules; i++) {
        if (i % 100 == 0) printf "- name: g%d\n  rules:\n", i / 100
        if (i % 10 == 0) {
            printf "  - {record: \"job%d:errors:ratio5m\", expr: \"sum by (job) (rate(requests_total{job=\\\"job%d\\\", code=\\\"500\\\"}[5m])) / sum by (job) (rate(requests_total{job=\\\"job%d\\\"}[5m]))\"}\n", i / 10, i % 100, i % 100
        } else if (i % 10 == 1) {
            printf "  - {alert: Ratio%d, expr: \"job%d:errors:ratio5m > 0.2\", for: 5m, labels: {severity: page}, annotations: {summary: \"{{ $labels.job }} fails {{ $value | humanizePercentage }}\"}}\n", i, i / 10
        } else {
            printf "  - {alert: Rate%d, expr: \"rate(requests_total{instance=\\\"i%d\\\"}[10m]) > 12\", for: 10m, keep_firing_for: 5m, labels: {severity: ticket}}\n", i, i % series
        }
    }
}' >rules.yml

echo "$(nproc) processors, $(grep -c . samples.om) lines, $(($(stat -c %s samples.om) >> 20)) MiB of text"
for format in text html; do
    /usr/bin/time -f "$format: %e s wall, %U + %S s of processor time, %M KiB at most" \
        "$almenara" backtest rules.yml --source samples.om --step "$step" --format "$format" -o "report.$format"
done
head -4 report.text
