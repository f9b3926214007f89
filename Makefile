# Few targets; each installs what it needs.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
MINUTES ?= 10
# Where rustup puts what the set-up script may just have installed.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: book quickstart test bench show soak fuzz lint setup packages

setup:
	@scripts/setup.sh

# Builds, runs an agent, sends lines, shows files and counters, stops.
quickstart: setup
	$(CARGO) build --locked --release -p flume-ng
	scripts/quickstart.sh $(TARGET)/release/flume-ng

# All tests, then the slices of a few minutes of what `make show` and `make bench` run in full.
test: setup
	$(CARGO) test --locked --workspace
	$(CARGO) build --locked --profile slice -p flume-ng -p flume-rig
	$(TARGET)/slice/flume-rig slice

# Events/s, CPU and memory of Java Flume 1.11 and of this program in turn, same configuration, with ratios.
bench: setup
	$(CARGO) build --locked --release -p flume-ng -p flume-rig
	$(TARGET)/release/flume-rig bench

# Every claim, run: ITEM value want PASS|FAIL; CLAIMS="flows deploy" for some of them.
show: setup
	$(CARGO) build --locked --release -p flume-ng -p flume-rig
	$(TARGET)/release/flume-rig show $(CLAIMS)

soak: setup
	$(CARGO) build --locked --release -p flume-ng -p flume-rig
	$(TARGET)/release/flume-rig soak $(MINUTES)

# Every decoder on anything at all, for so many minutes each; NAMES="properties plan" for some of them.
fuzz: setup
	scripts/fuzz.sh $(abspath $(TARGET)) $$((60 * $(MINUTES))) $(NAMES)

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# A .deb and an .rpm in target/packages. What makes them is installed below target, for this alone.
packages: setup
	$(CARGO) build --locked --release -p flume-ng
	scripts/packages.sh $(TARGET)

# The manual as a book, in target/book.
book:
	command -v mdbook > /dev/null || cargo install --locked mdbook
	mdbook build
