# What a developer runs. `make test` is what CI runs; it needs Debian (or a promtool and a C compiler in PATH) and
# Rust with clippy and rustfmt.

CARGO ?= cargo
# Debian packages that the tests use, and a program of each that tells whether it is there.
TEST_TOOLS = prometheus:promtool prometheus-alertmanager:prometheus-alertmanager gcc:cc munge:munged \
  slurmctld:slurmctld slurmd:slurmd slurm-client:sbatch podman:podman \
  runc:/usr/sbin/runc conmon:conmon netavark:/usr/lib/podman/netavark

.PHONY: run test test-gpu lint bench audit tools

run:
	$(CARGO) run --release

test: tools lint
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --package fake-nvml
	$(CARGO) test --locked --lib --bins --benches
	$(CARGO) test --locked --test '*'

# Needs an NVIDIA GPU that nobody else uses, root (it makes cgroups) and nvidia-smi. Compares joules, and leaves a table
# in target/tmp/accuracy.md.
test-gpu: tools
	rm -f target/tmp/accuracy.md
	$(CARGO) test --locked --release --test node gpu::hardware -- --ignored --nocapture
	cat target/tmp/accuracy.md

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Installs what is missing. As root it does so itself; otherwise through sudo.
tools:
	@missing=""; \
	for tool in $(TEST_TOOLS); do \
	  command -v "$${tool#*:}" >/dev/null 2>&1 || missing="$$missing $${tool%%:*}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	fi

# Needs root, since it makes cgroups: the load of 100 to 20,000 processes, and the micro-benchmarks.
bench:
	$(CARGO) bench --locked --bench micro
	$(CARGO) bench --locked --bench load

audit:
	@command -v cargo-deny >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny@0.20.2
	$(CARGO) deny --locked check licenses bans sources
