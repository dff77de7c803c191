#!/usr/bin/env bash
# Measures `almenara check rules` and `almenara test rules` beside promtool in one run: wall and processor time, peak memory.
# usage: benches/promtool.sh [ALMENARA [PROMTOOL]]   (a release build, and promtool as .ci/peers unpacks it)
#
# The two programs take turns; the median of RUNS runs of each is told. promtool's 500 test groups by 500 rules take eleven
# minutes: it gets 1 in SHARE (10) of the groups, and its time so many times is what ours is compared with: its cost is a constant for each group.
set -eu
cd "$(dirname "$0")/.."
almenara=$(realpath "${1:-target/release/almenara}")
promtool=$(realpath "${2:-target/peers/usr/bin/promtool}")
runs=${RUNS:-3}
share=${SHARE:-10}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# COUNT alerts with two labels and three annotations each, a hundred in a group.
alerts() {
    awk -v count="$1" 'BEGIN {
        print "groups:"
        for (i = 0; i < count; i++) {
            if (i % 100 == 0) printf "- name: g%d\n  rules:\n", i / 100
            printf "  - alert: Alert%d\n    expr: sum by (job, instance) (rate(requests_total{code=~\"5..\", shard=\"%d\"}[5m]))", i, i
            printf " / sum by (job, instance) (rate(requests_total{shard=\"%d\"}[5m])) > 0.05\n    for: 10m\n", i
            printf "    labels:\n      severity: page\n      team: team%d\n    annotations:\n", i % 17
            print "      summary: \"{{ $labels.job }} on {{ $labels.instance }} fails {{ $value | humanizePercentage }}\""
            print "      description: \"The ratio of failed requests of {{ $labels.job }} is above 5 % for ten minutes.\""
            printf "      runbook: https://runbooks.example/alerts/%d\n", i
        }
    }'
}

# RULES alerts, and GROUPS test groups of 30 minutes that ask for one of them each.
thresholds() {
    awk -v count="$1" 'BEGIN {
        print "groups:\n- name: g\n  rules:"
        for (i = 0; i < count; i++) {
            printf "  - {alert: A%d, expr: \"m%d > 10\", for: 5m, labels: {severity: page},", i, i
            print " annotations: {summary: \"{{ $labels.job }} is at {{ $value }}\"}}"
        }
    }'
}
groups() {
    awk -v count="$1" -v rules="$2" 'BEGIN {
        print "rule_files: [thresholds.yml]\nevaluation_interval: 1m\ntests:"
        for (i = 0; i < count; i++) {
            printf "- input_series: [{series: \"m%d{job=\\\"a\\\"}\", values: 0+1x40}]\n  alert_rule_test:\n", i % rules
            printf "  - {eval_time: 10m, alertname: A%d}\n  - {eval_time: 30m, alertname: A%d, exp_alerts:", i % rules, i % rules
            print " [{exp_labels: {job: a, severity: page}, exp_annotations: {summary: a is at 30}}]}"
        }
    }'
}

# A hundred rules over ten counters for seven days at one minute: a quarter records, a tenth of the alerts fires.
week() {
    awk 'BEGIN {
        print "groups:\n- name: g\n  rules:" > "week-rules.yml"
        for (i = 0; i < 100; i++) {
            if (i % 4 == 0) {
                printf "  - {record: \"r%d\", expr: \"rate(c%d[5m])\"}\n", i, i % 10 > "week-rules.yml"
            } else {
                printf "  - {alert: A%d, expr: \"rate(c%d[5m]) > %s\", for: 5m,", i, i % 10, i % 10 == 1 ? "0.5" : "5" > "week-rules.yml"
                print " labels: {severity: page}, annotations: {summary: \"{{ $labels.job }} is at {{ $value }}\"}}" > "week-rules.yml"
            }
        }
        print "rule_files: [week-rules.yml]\nevaluation_interval: 1m\ntests:\n- input_series:" > "week.yml"
        for (i = 0; i < 10; i++) printf "  - {series: \"c%d{job=\\\"a\\\"}\", values: 0+60x10080}\n", i > "week.yml"
        print "  alert_rule_test: [{eval_time: 7d, alertname: A99}]" > "week.yml"
    }'
}

# Median wall seconds, processor seconds and peak KiB of the runs in a file.
medians() {
    for column in 1 2 3; do cut -d' ' -f$column "$1" | sort -g | sed -n "$(((runs + 1) / 2))p"; done | paste -sd' '
}

# NAME FACTOR "OUR ARGUMENTS" "THEIR ARGUMENTS"
compare() {
    rm -f ours theirs
    for _ in $(seq "$runs"); do
        for who in ours theirs; do
            if [ $who = ours ]; then command="$almenara $3"; else command="$promtool $4"; fi
            /usr/bin/time -a -o $who.raw -f '%e %U %S %M' $command >/dev/null
            tail -1 $who.raw | awk '{ print $1, $2 + $3, $4 }' >>$who
        done
    done
    echo "$1 $2 $(medians ours) $(medians theirs)" | awk '{
        printf "%-28s almenara %8.2f s %8.2f s cpu %7.1f MiB   promtool %8.2f s %8.2f s cpu %7.1f MiB", $1, $3, $4, $5 / 1024, $6 * $2, $7 * $2, $8 / 1024
        printf "   %.1f times as fast (cpu %.1f), %.2f of the memory\n", $6 * $2 / ($3 > 0.01 ? $3 : 0.01), $7 * $2 / ($4 > 0.01 ? $4 : 0.01), $5 / $8
    }'
}

alerts 20000 >alerts.yml
thresholds 500 >thresholds.yml
groups 500 500 >groups.yml
groups $((500 / share)) 500 >groups-share.yml
week
echo "$(nproc) processors, $("$promtool" --version 2>&1 | head -1)"
compare check-20000-alerts 1 "check rules alerts.yml" "check rules alerts.yml"
compare test-500-groups-500-rules "$share" "test rules groups.yml" "test rules groups-share.yml"
compare test-7-days-100-rules 1 "test rules week.yml" "test rules week.yml"
